"""Frames: the input images, from files or from memory, read by rows.

This module is the entry point. The others, each of which imports only those above it:

- `masked`: masked images as functions of the user receive them.
- `onfile`: opens files, and checks that they do not change between reads.
- `cards`: makes headers safe to read.
- `hdus`, `companions`, `choose_hdu`: what a FITS file holds, which masks and uncertainties belong
  to an image, and which HDU is the image.
- `tiles`: checks tile-compressed images before they are decoded.
- `planes`, `views`: read rows of an image in a file, or of an array.
- `coordinates`: builds the WCS of a frame on first use.
- `base`: the Frame protocol.
- `variance`, `bits`: uncertainties and data-quality flags.
- `separate_planes`: masks, weights and variances in separate files.
- `array`, `fitsframe`, `resident`: the kinds of frame.
- `sections`, `source`: parts of a frame, and the frames as a backend reads them.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from astropy import units

from gpustack.backends.cuda.device import is_array as is_device_array
from gpustack.errors import InputError, MismatchError
from gpustack.files import ALL, HduKey, files_of, split_hdu, with_hdu
from gpustack.files.paths import at_home
from gpustack.flags import Flags
from gpustack.frames.array import ArrayFrame, open_array
from gpustack.frames.base import Frame, unit_of
from gpustack.frames.choose_hdu import checked_hdu, images_in
from gpustack.frames.companions import MASKS
from gpustack.frames.fitsframe import FitsFrame, open_file
from gpustack.frames.hdus import keeping_scans
from gpustack.frames.resident import ResidentFrame, open_resident
from gpustack.frames.source import FrameSource
from gpustack.images import Image
from gpustack.lazy_types import loaded
from gpustack.logs import gathered

__all__ = [
    "ArrayFrame",
    "FitsFrame",
    "Frame",
    "FrameSource",
    "check_agree",
    "check_flagged",
    "describe_separate_planes",
    "listed",
    "open_frames",
    "open_one",
    "renamed",
]

_EXPECTED = "file names, Image, CCDData, numpy or cupy arrays"


def open_frames(
    inputs: Any,
    hdu: HduKey | None = None,
    unit: units.UnitBase | str | None = None,
    flags: Flags | None = None,
    masks: Sequence[str] = MASKS,
    *,
    more_to_come: bool = False,
) -> list[Frame]:
    """Open images as frames, reading only the headers of files.

    Parameters
    ----------
    inputs : str, path, Image, CCDData, numpy or cupy array, an iterable or collection of them
        A name that contains ``*``, ``?`` or ``[`` and is not itself a file is a glob: it stands
        for the matching files, sorted. ``"@FILE"`` stands for the names and globs listed in a
        file, one per line. ``"FILE[3]"``, ``"FILE[SCI]"`` and ``"FILE[SCI,2]"`` name an HDU, and
        ``"FILE[*]"`` stands for every image of a file but companions. An `Image` has masks,
        weights or variances in separate files. A `CCDData` or masked array brings its mask, a
        `Quantity` its unit. A single ndarray has axes (frame, y, x), or more axes after the first;
        pass images of one axis in a list.
    hdu : int, str or (str, int), optional
        The HDU of FITS files whose names give none: a number (negative numbers count from the
        end), an EXTNAME, or both EXTNAME and EXTVER. The default is the first image with data that
        is not a companion such as MASK, DQ, UNCERT or WHT, see `gpustack.frames.companions`; where
        all images are companions, the first of them.
    unit : astropy unit or str, optional
        The unit of the samples. FITS files without BUNIT need it. It replaces a frame's own unit,
        and the log says so. Arrays may have no unit.
    flags : Flags, optional
        Which bits of integer masks make a sample invalid; by default any value but 0 does, in
        masks of any type. `CCDData`, whose mask is boolean, has the bits in its `flags`, and its
        mask counts too; `NDData` has them in its mask, where that is of integers.
    masks : sequence of str
        EXTNAMEs in FITS files; the first one that exists is the mask.
    more_to_come : bool
        Whether more frames are opened later. It is then no error if none of these frames has
        the flags that `flags` select.

    Returns
    -------
    list of Frame
        In the order of the inputs.

    Raises
    ------
    InputError
        Where there are no frames, a single image is given as an array, `hdu` or `unit` is
        invalid, or `flags` are given and no frame has any.
    FrameError
        Where a frame is unusable, or `flags` are given and its mask is not of integers.
    MismatchError
        Where some frames are cupy arrays and others are not.
    """
    hdu, unit, flags = checked_hdu(hdu), _parse_unit(unit), _checked_flags(flags)
    frames: list[Frame] = []
    with gathered(), keeping_scans():
        for item in _items(inputs):
            if isinstance(item, (str, os.PathLike)):
                frames.append(open_file(os.fsdecode(item), hdu, unit, flags, masks))
            elif isinstance(item, Image):
                frames.append(_open_image(item, hdu, unit, flags, masks))
            elif is_device_array(item):
                frames.append(open_resident(f"frame {len(frames)}", item, unit))
            else:
                frames.append(open_array(f"frame {len(frames)}", item, unit, flags))
    if not frames:
        raise InputError(f"no frames: expected {_EXPECTED}, got none")
    _check_one_side(frames)
    if flags.given and not more_to_come:
        check_flagged(f"flags {flags}", frames, masks)
    return frames


def open_one(
    file: str,
    hdu: HduKey | None = None,
    unit: units.UnitBase | str | None = None,
    flags: Flags | None = None,
) -> FitsFrame:
    """Open one file as a frame, when other files may follow.

    It is no error if this frame has none of the flags that `flags` select. Otherwise parameters
    and exceptions are those of `open_frames`.
    """
    return open_file(file, checked_hdu(hdu), _parse_unit(unit), _checked_flags(flags), MASKS)


def _open_image(
    image: Image,
    hdu: HduKey | None,
    unit: units.UnitBase | None,
    flags: Flags,
    masks: Sequence[str],
) -> FitsFrame:
    name = os.fsdecode(image.data)
    file, key = split_hdu(name)
    frame = open_file(file, hdu if key is None else key, unit, flags, masks, image)
    frame.name = name  # two images of one file have two names
    return frame


def _checked_flags(flags: Flags | None) -> Flags:
    if not isinstance(flags, Flags | None):
        raise InputError(f"flags: expected Flags(bad=...) or Flags(good=...), got {flags!r}")
    return Flags() if flags is None else flags


def check_flagged(what: str, frames: Sequence[Frame], masks: Sequence[str] = MASKS) -> None:
    """Raise where no frame has the flags that `what` needs, which cannot be intended.

    Raises
    ------
    InputError
    """
    if all(frame.flags_dtype is None for frame in frames):
        raise InputError(
            f"{what}: expected frames with integers in {' or '.join(masks)} extensions, or in the "
            f"flags of CCDData, got none in {len(frames)} frames, from {frames[0].name} on"
        )


def _check_one_side(frames: list[Frame]) -> None:
    """Raise where only some frames are on a device: no frame is copied silently."""
    sides = [isinstance(frame, ResidentFrame) for frame in frames]
    if any(sides) and not all(sides):
        there, here = frames[sides.index(True)].name, frames[sides.index(False)].name
        raise MismatchError(
            f"frames: expected all on a CUDA device or none, got a cupy array for {there}, but not "
            f"for {here}; cupy.asarray and cupy.asnumpy copy from one side to the other"
        )


def check_agree(
    frames: Iterable[Any], what: Sequence[str] = ("shape", "unit"), unit_advice: str = ""
) -> None:
    """Raise where frames differ in one of the attributes `what`.

    Any objects will do that have a `name` and these attributes. An error about units ends with
    `unit_advice`.

    Raises
    ------
    MismatchError
        Where an attribute is not equal to that of the first frame.
    """
    first, *others = frames
    for frame in others:
        for name in what:
            expected, got = getattr(first, name), getattr(frame, name)
            if expected != got:
                raise MismatchError(
                    f"frames differ in {name}: expected {_shown(expected)} as in {first.name}, "
                    f"got {_shown(got)} in {frame.name}{unit_advice if name == 'unit' else ''}"
                )


def renamed(frame: Frame, name: str) -> Frame:
    """Return a copy of a frame under another name; its samples are shared."""
    return replace(frame, name=name)  # type: ignore[type-var]


def describe_separate_planes(frames: Iterable[Frame]) -> list[str]:
    """Describe, for the header, which planes of each frame were read from separate files."""
    return [
        f"{frame.name}: {', '.join(map(str, frame.separate_planes))}"
        for frame in frames
        if isinstance(frame, FitsFrame) and frame.separate_planes
    ]


def _shown(value: Any) -> str:
    return "none" if value is None else str(value) or "dimensionless"


def _parse_unit(unit: units.UnitBase | str | None) -> units.UnitBase | None:
    try:
        if isinstance(unit, str) and unit.strip():  # as in a header
            return unit_of(unit.strip())
        return None if unit is None else units.Unit(unit)
    except (ValueError, TypeError) as err:
        raise InputError(f"unit: expected a unit that astropy knows, got {unit!r}") from err


def listed(inputs: Any) -> list[Any]:
    """Return the inputs of `open_frames` one by one, with globs expanded.

    Raises
    ------
    InputError
        Where `inputs` are not of a type that `open_frames` accepts, or no file matches.
    """
    return list(_items(inputs))


def _items(inputs: Any) -> Iterator[Any]:
    """Yield the inputs one by one, with globs expanded."""
    if hasattr(inputs, "files_filtered"):  # ccdproc's ImageFileCollection
        inputs = inputs.files_filtered(include_path=True)
    if isinstance(inputs, (str, os.PathLike, Image, loaded("astropy.nddata", "NDData"))):
        inputs = [inputs]
    if isinstance(inputs, loaded("dask.array", "Array")):
        raise InputError(
            "frames: expected client= for a dask array, got none; its compute() gives an array"
        )
    is_samples = isinstance(inputs, np.ndarray) and inputs.dtype.kind not in "OU"
    if (is_samples or is_device_array(inputs)) and inputs.ndim < 3:
        raise InputError(
            f"frames: expected an array (frame, y, x) or a list of images, got shape {inputs.shape}"
        )
    if not np.iterable(inputs):
        raise InputError(f"frames: expected {_EXPECTED}, got {inputs!r}")
    for item in inputs:
        if isinstance(item, (str, os.PathLike)):
            for name in files_of(at_home(item)):
                yield from [name] if split_hdu(name)[1] is None else _each_image(Image(name))
        elif isinstance(item, Image):
            yield from _each_image(item)
        else:
            yield item


def _each_image(given: Image) -> Iterator[Image]:
    """Yield `given`, or an `Image` for each image of the file if its `data` is ``FILE[*]``."""
    file, key = split_hdu(os.fsdecode(given.data))
    if key != ALL:
        yield given
        return
    for key in images_in(file):
        yield replace(given, data=with_hdu(file, key))
