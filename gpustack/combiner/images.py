"""What `ccdproc.combine` takes for a list of images, as frames."""

import os
from collections.abc import Iterable
from typing import Any

from astropy.nddata import CCDData

from gpustack.errors import InputError
from gpustack.frames import Frame, open_frames
from gpustack.logs import gathered

#: Arguments of `CCDData.read` under which a file can still be read by rows.
_LAZY = {"unit", "hdu", "format"}

#: What CCDData.read takes for a mask; it does not look at DQ.
_MASKS = ("MASK",)


def list_images(img_list: Any) -> list[Any]:
    """File names and CCDData, one by one, from any of the forms that they come in.

    A CCDData of three axes or more is its planes, as it is for a Combiner.

    Raises
    ------
    InputError
        Where it is none of them, or empty.
    """
    if hasattr(img_list, "files_filtered"):  # ccdproc's ImageFileCollection
        img_list = img_list.files_filtered(include_path=True)
    if isinstance(img_list, str):
        img_list = [name.strip() for name in img_list.split(",")]
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
    """The images that a cube holds; one image where it is one."""
    if ccd.ndim < 3:
        return [ccd]
    try:
        return list(ccd)
    except TypeError as err:
        raise InputError(
            f"list of images: expected images, or a cube without coordinates, got a cube of shape "
            f"{ccd.shape} with a wcs that astropy does not cut into planes ({err}); set it to None"
        ) from err


def open_images(images: list[Any], ccdkwargs: dict[str, Any]) -> list[Frame]:
    """Frames of file names and CCDData; only files are subject to `ccdkwargs`.

    `unit`, `hdu` and the format of FITS leave files to be read by rows.

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
                frames += open_frames([image])
            else:
                raise InputError(
                    f"image {number}: expected a file name or CCDData, got {type(image).__name__}"
                )
    return frames


def _open_files(name: str, ccdkwargs: dict[str, Any]) -> list[Frame]:
    if set(ccdkwargs) <= _LAZY and ccdkwargs.get("format") in (None, "fits"):
        # 0 is what CCDData.read has by default: the first image with data.
        hdu, unit = ccdkwargs.get("hdu") or None, ccdkwargs.get("unit")
        return open_frames([name], hdu=hdu, unit=unit, masks=_MASKS)
    return open_frames([CCDData.read(name, **ccdkwargs)])
