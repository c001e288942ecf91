"""Images whose masks, weights or variances lie in files of their own."""

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpustack.checks import check, set_fields
from gpustack.errors import GpustackWarning, InputError
from gpustack.files import files_of, is_glob, split_hdu
from gpustack.files.name_lists import is_list
from gpustack.files.paths import PathLike, at_home, exists

#: What an `Image` may have in files of their own.
PLANES = ("mask", "weight", "variance")


@dataclass(frozen=True, slots=True)
class Image:
    """A frame in a FITS file, with its mask, weights or variances in other files.

    Each file is plain, .gz or tile-compressed, and may name an HDU: ``"mask.fits[3]"``,
    ``"mask.fits[SCI]"``, ``"mask.fits[SCI,2]"``. Where none is named, the image called MASK, DQ or
    BPM (for a mask), WEIGHT, or VAR is used; else the one with the frame's EXTNAME and EXTVER;
    else the only one. These files take precedence over extensions in the frame's own file.

    Parameters
    ----------
    data : path
        The frame. Where it names no HDU, `hdu` of `gpustack.stack` says which; ``"a.fits[*]"`` is
        a frame for each image of the file.
    mask : path or "!KEYWORD", optional
        Integers: any value but 0 makes a sample invalid, unless `Flags` select bits.
    weight : path or "!KEYWORD", optional
        The inverse variance of each sample, in the inverse square of the frame's unit where there
        is no BUNIT. A sample whose weight is not a positive finite number is invalid, whether
        weights are used or not.
    variance : path or "!KEYWORD", optional
        The variance of each sample. Give this or `weight`, not both.

    Notes
    -----
    With "!BPM", the card BPM of the header names the file. A relative name is looked for in the
    folder of the frame, then in the current one, each with and without .fits appended.

    Raises
    ------
    RecipeError
        Where a value is not a path, or both `weight` and `variance` are given.

    References
    ----------
    IRAF ``masktype="!BPM"``; SWarp ``WEIGHT_IMAGE``, ``WEIGHT_TYPE`` MAP_WEIGHT and MAP_VARIANCE.

    Examples
    --------
    >>> from gpustack import Image
    >>> Image("c4d_ooi.fits", mask="c4d_ood.fits", weight="c4d_oow.fits").weight
    'c4d_oow.fits'
    """

    data: PathLike
    mask: PathLike | None = None
    weight: PathLike | None = None
    variance: PathLike | None = None

    def __post_init__(self) -> None:
        check(self.data is not None, "Image data: expected the path of a FITS file, got None")
        names = ("data", *PLANES)
        set_fields(self, **{name: _path(f"Image {name}", getattr(self, name)) for name in names})
        check(
            self.weight is None or self.variance is None,
            f"Image: expected a weight or a variance, got weight={self.weight!r} and "
            f"variance={self.variance!r}",
        )


def _path(name: str, given: Any) -> str | None:
    if given is None:
        return None
    is_path = isinstance(given, (str, os.PathLike)) and os.fspath(given) != ""
    check(is_path, f"{name}: expected the path of a FITS file, got {_shown(given)}")
    return at_home(given)


def _shown(given: Any) -> str:
    """A path as it is given, else the type of the value: an array would fill the screen."""
    return repr(given) if isinstance(given, (str, os.PathLike)) else type(given).__name__


def paired(frames: Sequence[str], planes: Mapping[str, Sequence[str]]) -> list[Image]:
    """Pair frames with the files of their masks, weights and variances.

    Parameters
    ----------
    frames : sequence of str
        File names, globs and ``@FILE``.
    planes : mapping of "mask", "weight", "variance" to sequence of str
        For each, file names, globs or ``@FILE`` of as many files as there are frames, in the same
        order. Or one text: the name of a file for all frames; ``"!KEYWORD"``; or ``"OLD:NEW"``,
        which replaces OLD in the name of each frame by NEW.

    Raises
    ------
    InputError
        Where there are more or fewer files than frames, or a name does not have OLD exactly once.
    """
    data = [file for text in frames for file in files_of(at_home(text))]
    found = {what: _plane_files(what, data, texts) for what, texts in planes.items() if texts}
    return [
        Image(file, **{what: files[f] for what, files in found.items()})
        for f, file in enumerate(data)
    ]


def _plane_files(what: str, data: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The file that belongs to each frame, or the ``"!KEYWORD"`` that names it."""
    rule = _rule(what, texts[0]) if len(texts) == 1 else None
    if rule is not None:
        return [rule(file) for file in data]
    files = [file for text in texts for file in files_of(at_home(text))]
    if len(texts) == 1 and _is_one_file(texts[0]):
        _warn_expanded(what, files[0], data)
        return files * len(data)
    if len(files) != len(data):
        raise InputError(
            f"{what} files: expected {len(data)}, one per frame, or the name (not a pattern or "
            f"list) of one file for all frames, got {len(files)}: {files[0]} to {files[-1]} for "
            f"{data[0]} to {data[-1]}"
        )
    return files


def _warn_expanded(what: str, one: str, data: Sequence[str]) -> None:
    """Warn where the shell may have expanded a pattern: all but its first file became frames."""
    alike = [file for file in data if _series(file) == _series(split_hdu(one)[0])]
    if 0 < len(alike) < len(data):
        warnings.warn(
            f"{what} files: {one} is used for all frames, but {alike[0]}, one of the frames, is "
            "named like it, unlike the other frames; if the shell expanded a pattern, quote it",
            GpustackWarning,
            stacklevel=4,
        )


def _series(file: str) -> tuple[str, str]:
    """The folder of a file, and its name with # in place of each number."""
    folder, name = os.path.split(os.path.abspath(file))  # noqa: PTH100 - str in, str out
    return folder, re.sub("[0-9]+", "#", name)


def _is_one_file(text: str) -> bool:
    """Whether a text names one file: no list and no pattern, not even one with a single match."""
    file, _ = split_hdu(text)
    return not is_list(text) and not (is_glob(file) and not exists(at_home(file)))


def _rule(what: str, text: str) -> Callable[[str], str] | None:
    """The function from frame to other file that "!KEYWORD" or "OLD:NEW" means; None for names."""
    if text.startswith("!"):
        return lambda file: text
    if ":" not in text or is_glob(split_hdu(text)[0]) or exists(at_home(text)):
        return None
    old, _, new = text.partition(":")
    # Not the HDU of the frame: that of the other file has its EXTNAME, see `Image`.
    return lambda file: _replaced(what, split_hdu(file)[0], old, new)


def _replaced(what: str, file: str, old: str, new: str) -> str:
    """A path with `old` replaced by `new`: in the name of the file, or else in its folders."""
    folder, name = os.path.split(file)
    if name.count(old) == 1:
        return os.path.join(folder, name.replace(old, new))  # noqa: PTH118 - str in, str out
    if file.count(old) == 1:
        return file.replace(old, new)
    raise InputError(
        f"{what} files: expected the name of each frame to contain {old!r} of "
        f"{old + ':' + new!r} once, got {file}"
    )
