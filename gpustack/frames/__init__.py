"""Frames: the input images, from files or from memory, read by rows.

This module is the entry point. The others, each of which imports only those above it:

- `onfile`: opens files, and checks that they do not change between reads.
- `cards`: makes headers safe to read.
- `hdus`, `companions`, `choose_hdu`: what a FITS file holds, which masks and uncertainties belong
  to an image, and which HDU is the image.
- `tiles`: checks tile-compressed images before they are decoded.
- `planes`, `views`: read rows of an image in a file, or of an array.
- `coordinates`: builds the WCS of a frame on first use.
- `base`: the Frame protocol.
- `variance`, `bits`: uncertainties and data-quality flags.
- `separate_planes`: masks, weights and variances in files of their own.
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
from gpustack.paths import at_home

__all__ = [
    "ArrayFrame",
    "FitsFrame",
    "Frame",
    "FrameSource",
    "check_agree",
    "check_flagged",
    "listed",
    "open_frames",
    "open_one",
    "renamed",
    "tell_of_apart",
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
    """Open images as frames. Of files, only headers are read.

    Parameters
    ----------
    inputs : str, path, Image, CCDData, numpy or cupy array, an iterable or collection of them
        A name with ``*``, ``?`` or ``[`` that names no file stands for the files that
        match, sorted; ``"@FILE"`` for those whose names or globs stand in a file, one a line.
        ``"FILE[3]"``, ``"FILE[SCI]"`` and ``"FILE[SCI,2]"`` name an HDU, ``"FILE[*]"`` every
        image of a file. An `Image` has masks, weights or variances in files of their own. A
        `CCDData` or masked array brings its mask, a `Quantity` its unit. An ndarray given alone
        is (frame, y, x), or has more axes after the first; images of one axis come in a list.
    hdu : int, str or (str, int), optional
        The HDU of FITS files whose names have none, by number (below 0 from the end), by EXTNAME,
        or by EXTNAME and EXTVER. By default the first image with data that lies beside none, as
        MASK, DQ, UNCERT or WHT do, see `gpustack.frames.companions`; the first of these where
        there is no other.
    unit : astropy unit or str, optional
        Of the samples. FITS files without BUNIT need it; where a frame has a unit of its
        own, this one is taken instead and the log says so. Arrays may go without.
    flags : Flags, optional
        Which bits of integer masks make a sample invalid; by default anything but 0 does, in
        masks of any type. CCDData, whose mask is of bools, has them in its `flags`, and its
        mask counts too; NDData in its mask where that is of integers.
    masks : sequence of str
        Extensions of FITS files, by EXTNAME, of which the first that is there is the mask.
    more_to_come : bool
        Whether others come later: `flags` may be those of one of them.

    Returns
    -------
    list of Frame
        In order.

    Raises
    ------
    InputError
        Where there are no frames, an image comes alone as an array, `hdu` is none, `unit` is no
        unit, or `flags` are given and no frame has any.
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
    """The frame of one file, others of which may come later: `flags` may be those of one of them.

    Parameters, and what is raised, are those of `open_frames`.
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
    """Raise where no frame has flags, which `what` needs: nobody asks for that on purpose.

    Raises
    ------
    InputError
    """
    if all(frame.flags_dtype is None for frame in frames):
        raise InputError(
            f"{what}: expected frames with integers in {' or '.join(masks)} extensions, or in the "
            f"flags of CCDData, got none in {len(frames)} from {frames[0].name} on"
        )


def _check_one_side(frames: list[Frame]) -> None:
    """Raise where some frames are on a device and others are not: none is copied silently."""
    sides = [isinstance(frame, ResidentFrame) for frame in frames]
    if any(sides) and not all(sides):
        there, here = frames[sides.index(True)].name, frames[sides.index(False)].name
        raise MismatchError(
            f"frames: expected all on a CUDA device or none, got a cupy array for {there}, but not "
            f"for {here}; cupy.asarray and cupy.asnumpy copy from one side to the other"
        )


def check_agree(frames: Iterable[Any], what: Sequence[str] = ("shape", "unit")) -> None:
    """Raise where frames differ, or what tells of frames: of each the name and `what` are enough.

    Raises
    ------
    MismatchError
        Where a shape or a unit is not that of the first frame.
    """
    first, *others = frames
    for frame in others:
        for name in what:
            expected, got = getattr(first, name), getattr(frame, name)
            if expected != got:
                raise MismatchError(
                    f"frames differ in {name}: expected {_shown(expected)} as in {first.name}, "
                    f"got {_shown(got)} in {frame.name}"
                )


def renamed(frame: Frame, name: str) -> Frame:
    """The same frame by another name."""
    return replace(frame, name=name)  # type: ignore[type-var]


def tell_of_apart(frames: Iterable[Frame]) -> list[str]:
    """In words, what of each frame was read from files of its own; for the header."""
    return [
        f"{frame.name}: {', '.join(map(str, frame.apart))}"
        for frame in frames
        if isinstance(frame, FitsFrame) and frame.apart
    ]


def _shown(value: Any) -> str:
    return "none" if value is None else str(value) or "dimensionless"


def _parse_unit(unit: units.UnitBase | str | None) -> units.UnitBase | None:
    try:
        if isinstance(unit, str) and unit.strip():  # as in a header
            return unit_of(unit.strip())
        return None if unit is None else units.Unit(unit)
    except (ValueError, TypeError) as err:
        raise InputError(f"unit: expected one that astropy knows, got {unit!r}") from err


def listed(inputs: Any) -> list[Any]:
    """The inputs of `open_frames` one by one, globs expanded.

    Raises
    ------
    InputError
        Where they are none.
    """
    return list(_items(inputs))


def _items(inputs: Any) -> Iterator[Any]:
    """The inputs one by one, globs expanded."""
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
    """An `Image` as it is; where its `data` is ``FILE[*]``, one for each image of the file."""
    file, key = split_hdu(os.fsdecode(given.data))
    if key != ALL:
        yield given
        return
    for key in images_in(file):
        yield replace(given, data=with_hdu(file, key))
