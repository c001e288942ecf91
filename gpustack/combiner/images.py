"""Open all that `ccdproc.combine` accepts as a list of images."""

import os
import re
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from gpustack.checks import did_you_mean
from gpustack.errors import GpustackWarning, InputError
from gpustack.flags import Flags
from gpustack.frames import Frame, open_frames
from gpustack.frames.array import open_array
from gpustack.logs import gathered

#: Arguments of `CCDData.read` under which a file can still be read by rows.
_LAZY = {"unit", "hdu", "format"}

#: Arguments that change neither samples nor masks nor units: how files are opened, and
#: extensions that `combine` does not use.
_WITHOUT_EFFECT = {
    *("memmap", "lazy_load_hdus", "cache"),
    *("hdu_uncertainty", "key_uncertainty_type", "hdu_psf"),
}

#: All other arguments of `CCDData.read`, with those of `astropy.io.fits.open`.
_OTHERS = {
    *("hdu_mask", "hdu_flags", "mode", "save_backup", "output_verify", "checksum"),
    *("ignore_missing_simple", "ignore_missing_end", "ignore_blank", "uint", "scale_back"),
    *("use_fsspec", "fsspec_kwargs", "decompress_in_memory", "disable_image_compression"),
    *("do_not_scale_image_data", "character_as_bytes"),
}

#: A comma between file names; not one in brackets, as in ``"a.fits[SCI,2]"``.
_COMMA = re.compile(r",(?![^\[\]]*\])")

#: The extension that CCDData.read takes as the mask; it ignores DQ.
_MASKS = ("MASK",)


def list_images(img_list: Any) -> list[Any]:
    """Return a list of file names and CCDData, from any of the forms that ccdproc accepts.

    A CCDData of three axes or more stands for its planes, as it does for a Combiner.

    Raises
    ------
    InputError
        Where `img_list` is none of these forms, or empty.
    """
    if hasattr(img_list, "files_filtered"):  # ccdproc's ImageFileCollection
        img_list = img_list.files_filtered(include_path=True)
    if isinstance(img_list, str):
        img_list = [name.strip() for name in _COMMA.split(img_list)]
    elif isinstance(img_list, CCDData):
        img_list = _planes(img_list)
    elif isinstance(img_list, os.PathLike):
        img_list = [img_list]
    if not isinstance(img_list, Iterable):
        raise InputError(
            "unrecognised input for list of images: expected file names or CCDData, "
            f"got {img_list!r}"
        )
    images = list(img_list)
    if not images:
        raise InputError("list of images: expected at least one, got none")
    return images


def _planes(ccd: CCDData) -> list[CCDData]:
    """Return the planes of a cube; an image of fewer than three axes is returned alone."""
    if ccd.ndim < 3:
        return [ccd]
    try:
        return list(ccd)
    except TypeError as err:
        raise InputError(
            "list of images: expected images, or a cube without coordinates, got a cube of shape "
            f"{ccd.shape} with a wcs that astropy cannot cut into planes ({err}); set its wcs to "
            "None"
        ) from err


def hint_for(image: Any) -> str:
    """Return the end of an error about an unusable image: which function takes it, if one does."""
    if isinstance(image, str | os.PathLike):
        return "; gpustack.combine takes file names"
    if isinstance(image, np.ndarray):
        return "; gpustack.stack takes arrays"
    return ""


def used_kwargs(ccdkwargs: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return those of `ccdkwargs` that affect what is read.

    Parameters
    ----------
    ccdkwargs : dict
        Arguments for `CCDData.read`, as users gave them.
    names : iterable of str
        The arguments of `combine`, which users may have meant.

    Warns
    -----
    GpustackWarning
        Where `CCDData.read` has no such argument either. It ignores unknown arguments silently,
        so that a misspelt one would change the result. Only for FITS: readers of other formats
        have arguments of their own.
    """
    if not _is_fits(ccdkwargs):
        return ccdkwargs
    for name in ccdkwargs:
        if name in _LAZY | _WITHOUT_EFFECT | _OTHERS:
            continue
        meant = did_you_mean(name, [*names, *sorted(_LAZY | _WITHOUT_EFFECT)])
        warnings.warn(
            f"combine: {name}= has no effect: neither combine nor CCDData.read has it{meant}",
            GpustackWarning,
            stacklevel=3,
        )
    return {name: given for name, given in ccdkwargs.items() if name in _LAZY | _OTHERS}


def open_images(images: list[Any], ccdkwargs: dict[str, Any]) -> list[Frame]:
    """Open file names and CCDData as frames; `ccdkwargs` apply to files alone.

    Files are read by rows if `ccdkwargs` has no more than `unit`, `hdu` and the format of FITS.

    Raises
    ------
    FileNotFoundError
        Where a file is missing.
    InputError
        Where a file or an argument is unusable.
    """
    frames: list[Frame] = []
    with gathered():
        for number, image in enumerate(images):
            if isinstance(image, str | os.PathLike):
                frames += _open_files(os.fspath(image), ccdkwargs)
            elif isinstance(image, CCDData):
                frames.append(open_array(f"frame {number}", image, None, Flags()))
            else:
                raise InputError(
                    f"image {number}: expected a file name or CCDData, got "
                    f"{type(image).__name__}{hint_for(image)}"
                )
    return frames


def _open_files(name: str, ccdkwargs: dict[str, Any]) -> list[Frame]:
    if set(ccdkwargs) <= _LAZY and _is_fits(ccdkwargs):
        # 0 is the default of CCDData.read, which means the first image with data.
        hdu, unit = ccdkwargs.get("hdu") or None, ccdkwargs.get("unit")
        return open_frames([name], hdu=hdu, unit=unit, masks=_MASKS)
    return [open_array(name, CCDData.read(name, **ccdkwargs), None, Flags())]


def _is_fits(ccdkwargs: dict[str, Any]) -> bool:
    return ccdkwargs.get("format") in (None, "fits")
