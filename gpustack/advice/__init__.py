"""Warnings about unusual frames, recipes and results; the run goes on.

Warnings about clips that suit so few frames badly are in `too_few_frames`.
"""

import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from astropy import units

from gpustack.advice.too_few_frames import useless_clip_warnings
from gpustack.align.base import GridFrame
from gpustack.align.brightness import AREA
from gpustack.cards.names import names_in, printable
from gpustack.cards.numbers import read_number
from gpustack.cards.texts import read_text
from gpustack.clips import (
    AvgSigmaClip,
    ExtremaClip,
    NoiseClip,
    PercentileClip,
    RangeClip,
    SigmaClip,
)
from gpustack.combines import MEDIANS, NoiseModel
from gpustack.errors import GpustackWarning
from gpustack.files.paths import at_home
from gpustack.frames import FitsFrame, Frame
from gpustack.header import SAME_EXPOSURE, read_exposure
from gpustack.recipe import Recipe
from gpustack.result import StackResult, left_out

#: Names of frames in memory. The number counts frames of one run and identifies no file.
_IN_MEMORY = re.compile(r"frame \d+")

#: Words in headers -> the kind of frame that they stand for; any other word counts as "light".
KINDS = {"bias": "bias", "zero": "bias", "dark": "dark", "flat": "flat", "twilight": "flat"}
_KIND_KEYS = ("IMAGETYP", "OBSTYPE", "ESO DPR TYPE", "DATA-TYP", "EXPTYPE", "FRAME")
#: Words in headers that mean an exposure of the sky. Other "light" may be of lamps or a focus test.
_LIGHT = ("light", "object", "science", "target", "sky", "standard", "expose")

#: Names of objects in the sky that contain a word of `KINDS`.
_OBJECTS = re.compile(
    r"dark[ _-]*(neb|cloud|lane|globul|horse|shark|tower|doodad|matter)|"
    r"\b(barnard|ldn|lbn)[ _-]*\d+|flatiron|flat[ _-]*top|zero[ _-]*point",
    re.IGNORECASE,
)

#: Advice where exposure times differ, by the kind of frames. Flats are not scaled by exposure,
#: because twilight fades; darks contain bias, which exposure does not scale. Bias frames are
#: missing because bias does not depend on the exposure.
_SCALED = {
    "light": 'scale="exposure" (--scale exposure) brings them to that of the first',
    "dark": 'scale="exposure" (--scale exposure) brings darks to that of the first, once bias is '
    "subtracted",
    "flat": 'scale="median" (--scale median) brings flats to one level',
}

#: Cards of which some differ where exposures of one camera are offset from each other on the sky.
_POINTING = (
    *("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "CROTA2"),
    *("CD1_1", "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"),
)

#: Warn about a noise clip without rdnoise and snoise if a larger part of all samples is rejected.
MANY_REJECTED = 0.3

#: How many frames each kind of warning names; the others are counted: 300 lines tell no more.
MOST_NAMED = 5

#: Units of values that grow with the exposure time.
COUNTS = (units.adu, units.electron, units.photon, units.ct, units.DN)

#: A mean depth this far above a whole number of samples still counts as that number.
DEPTH_SLACK = 0.05

#: Units of values that a gain converts into electrons.
DIGITAL = (units.adu, units.ct, units.DN)

#: Gains count as equal where the lowest is at least this part of the highest: gains are not known
#: any better.
SAME_GAIN = 0.98


def warn_of(result: StackResult, frames: Sequence[Frame]) -> None:
    """Warn about what is unusual in frames, recipe and result."""
    reasons = left_out(result.per_frame)
    used = [frame for frame, reason in zip(frames, reasons, strict=True) if not reason]
    messages = (
        *_unusual(result),
        *_limited(_repeated(used), "given several times"),
        *_limited(_counted_twice(used), "made of others that are combined here too"),
        *_mixed_kinds(used),
        *_unlike_exposures(result.recipe, used),
        *_unlike_gains(result.recipe, used),
        *_scaled_levels(result.recipe, used),
        *_not_aligned(used),
        *_mixed_chips(used),
    )
    for message in messages:
        warnings.warn(message, GpustackWarning, stacklevel=3)


def _unusual(result: StackResult) -> Iterator[str]:
    """Warnings that follow from the result and its table of frames alone, without headers."""
    names, reasons = result.per_frame["name"], left_out(result.per_frame)
    used = [name for name, reason in zip(names, reasons, strict=True) if not reason]
    n, left = len(names), len(used)
    if left == 1:
        yield f"only one{f' of {n} frames is left' if n > 1 else ' frame'}: nothing to combine"
    masked = 0.0 if result.on_device else float(result.mask.mean())
    yield from _boundless(result.recipe)
    if left > 1:
        yield from _useless_clips(result, left, masked)
    yield from _noiseless(result)
    yield from _limited(_left_out(result.per_frame), "left out; result.frames (--report) says why")
    yield from _limited(_empty(result.per_frame), "no valid sample, so they do not contribute")
    if masked == 1:
        yield "no pixel of the result has a value"


def _boundless(recipe: Recipe) -> Iterator[str]:
    """Warnings about clips whose bounds reject nothing, or nothing of positive samples."""
    for clip in recipe.clips:
        if isinstance(clip, ExtremaClip):
            if clip.nlow == clip.nhigh == 0:
                yield f"{clip}: rejects nothing, as nlow and nhigh are 0"
        elif isinstance(clip, PercentileClip) and (clip.low or 0) >= 1:
            yield (
                f"{clip}: low={clip.low:g} is {clip.low:.0%} of the median and rejects no sample "
                "above 0; write 20% as 0.2"
            )
        elif getattr(clip, "low", 0) is None and getattr(clip, "high", 0) is None:
            yield f"{clip}: rejects nothing, as it has neither low nor high"


def _useless_clips(result: StackResult, left: int, masked: float) -> Iterator[str]:
    """Warnings about clips that cannot reject a lone outlier among the samples of a pixel."""
    found = list(useless_clip_warnings(result.recipe, left))
    valid = result.per_frame.get("valid")
    if not found and valid is not None and masked < 1 and not result.on_device:
        depth = max(math.ceil(sum(valid) / (1 - masked) - DEPTH_SLACK), 2)
        of = f"{depth} samples (pixels of this result have no more on average)"
        found = list(useless_clip_warnings(result.recipe, depth, of)) if depth < left else []
    yield from found


def _noiseless(result: StackResult) -> Iterator[str]:
    """Warnings about noise clips without the camera's noise, where many samples are rejected."""
    lost = result.rejected or 0.0
    clips = result.recipe.clips if lost > MANY_REJECTED else ()
    for clip in clips:
        if isinstance(clip, NoiseClip) and clip.rdnoise == clip.snoise == 0:
            yield (
                f"{clip}: {lost:.0%} of all samples are rejected; rdnoise and gain are "
                "those of the camera, such as 'noise:rdnoise=!RDNOISE,gain=!GAIN'"
            )


def _limited(messages: Iterable[str], more: str) -> Iterator[str]:
    """The first `MOST_NAMED` messages, and one with the number of other frames and `more`."""
    found = list(messages)
    few = found if len(found) == MOST_NAMED + 1 else found[:MOST_NAMED]
    yield from few
    if len(found) > len(few):
        yield f"{len(found) - len(few)} more frames: {more}"


def _repeated(frames: Sequence[Frame]) -> Iterator[str]:
    """Warnings about frames given more than once, also by other names of a file or an HDU."""
    given: dict[Any, list[str]] = {}
    for frame in frames:
        given.setdefault(_identity(frame), []).append(frame.name)
    for one, *others in given.values():
        if others:
            alias = next((f", also as {name}" for name in others if name != one), "")
            times = 1 + len(others)
            yield f"{one}: given {times} times{alias}, so it counts {times} times"


def _identity(frame: Frame) -> Any:
    """A key that an image of a file has by whatever name; the name of a frame in memory."""
    while isinstance(frame, GridFrame):
        frame = frame.inner
    if not isinstance(frame, FitsFrame):
        return frame.name
    file, index = frame.image.file, frame.image.hdu.index
    try:
        found = os.stat(file)  # noqa: PTH116 - Path raises for more names
    except (OSError, ValueError):
        return file, index
    return (found.st_dev, found.st_ino, index) if found.st_ino else (file, index)  # 0: no file


def _counted_twice(frames: Sequence[Frame]) -> Iterator[str]:
    """Warnings about frames made of other frames of the stack, such as an earlier result."""
    here: dict[str, list[tuple[tuple[str, ...], str]]] = {}  # by base name
    for frame in frames:
        if not _IN_MEMORY.fullmatch(frame.name):
            parts = _parts(printable(os.path.abspath(at_home(frame.name))))  # noqa: PTH100 - no ".."
            here.setdefault(parts[-1], []).append((parts, frame.name))
    for frame in frames:
        if "NCOMBINE" not in frame.header:
            continue
        found = {
            name
            for parts in map(_parts, names_in(frame.header))
            for other, name in here.get(parts[-1] if parts else "", ())
            if name != frame.name and _agree(parts, other)
        }
        if found:
            yield (
                f"{frame.name}: made of {min(found)}{_others(len(found) - 1)}"
                ", combined here too, so that they count twice"
            )


def _parts(name: str) -> tuple[str, ...]:
    """Folders and base name of a path, without "..", which depends on the current folder."""
    parts = PurePath(os.path.normpath(name)).parts
    return tuple(part for part in parts if part != "..")


def _agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two paths end in the same parts, compared as far as the shorter one goes.

    Names in a header may be relative to the folder in which gpustack ran. The base name alone is
    not enough: cameras give the same base names every night, in another folder.
    """
    return all(a == b for a, b in zip(reversed(one), reversed(other), strict=False))


def _others(more: int, what: str = "other") -> str:
    return f" and {more} {what}{'s' * (more > 1)}" if more else ""


def _mixed_kinds(frames: Sequence[Frame]) -> Iterator[str]:
    """Warnings about frames of different filters or kinds; frames without such a card are skipped.

    Where frames are not aligned, the same for instruments and for the order of rows.
    """
    aligned = any(isinstance(frame, GridFrame) for frame in frames)
    only_unaligned = () if aligned else ((("INSTRUME",), str), (("ROWORDER",), str.upper))
    for keys, meant in ((("FILTER",), str), (_KIND_KEYS, _kind), *only_unaligned):
        cards = [(*_first_card(frame, keys), frame.name) for frame in frames]
        known = [card for card in cards if card[1]]
        others = [card for card in known if meant(card[1]) != meant(known[0][1])]
        if others:
            (key, value, name), (other_key, other, other_name) = known[0], others[0]
            more = _others(len(others) - 1, "more frame") + " unlike the first" * (len(others) > 1)
            differ = "/".join(dict.fromkeys((key, other_key)))
            yield (
                f"frames differ in {differ}: {value!r} in {name}, {other!r} in {other_name}{more}"
            )


def _first_card(frame: Frame, keys: Sequence[str]) -> tuple[str, str]:
    """The first of some keywords that a frame has a value for, and the value; "" without any."""
    cards = ((key, read_text(frame.header, key)) for key in keys)
    return next((card for card in cards if card[1]), ("", ""))


def _kind(value: str) -> str:
    """The kind of frame that a header value stands for; see `KINDS`."""
    return next((kind for word, kind in KINDS.items() if word in value.lower()), "light")


def _unlike_exposures(recipe: Recipe, frames: Sequence[Frame]) -> Iterator[str]:
    """Warnings about unscaled counts of unequal exposures, for a mean, median, min or max."""
    levels = recipe.method in (*MEDIANS, "mean", "min", "max")
    if not levels or recipe.scale is not None or frames[0].unit not in COUNTS:
        return
    found = [(read_exposure(frame.header), frame.name) for frame in frames]
    times = [(time, name) for time, name in found if time is not None]
    lowest, lowest_name = min(times, default=(0.0, ""))
    highest, highest_name = max(times, default=(0.0, ""))
    kind = _kind(_first_card(frames[0], _KIND_KEYS)[1])
    if lowest < highest * SAME_EXPOSURE and kind in _SCALED:
        yield (
            f"frames differ in EXPTIME: {lowest:g} in {lowest_name} to {highest:g} in "
            f"{highest_name}, and are not scaled; {_SCALED[kind]}"
        )


def _unlike_gains(recipe: Recipe, frames: Sequence[Frame]) -> Iterator[str]:
    """Warnings about counts of different gains, as of two cameras, that are not scaled.

    Stacks are skipped: the GAIN of a stack may describe its noise, and is then the gain of its
    counts times the number of its frames.
    """
    if recipe.scale is not None or frames[0].unit not in DIGITAL:
        return
    single = [frame for frame in frames if "NCOMBINE" not in frame.header]
    found = [(read_number(frame.header, "GAIN"), frame.name) for frame in single]
    gains = [(gain, name) for gain, name in found if gain > 0]
    lowest, lowest_name = min(gains, default=(0.0, ""))
    highest, highest_name = max(gains, default=(0.0, ""))
    if lowest < highest * SAME_GAIN:
        yield (
            f"frames differ in GAIN: {lowest:g} in {lowest_name} to {highest:g} in {highest_name}, "
            "and are not scaled; the same count then stands for different numbers of electrons"
        )


def _scaled_levels(recipe: Recipe, frames: Sequence[Frame]) -> Iterator[str]:
    """Warnings about clips and noise models by level where alignment has scaled the values.

    Pixels of another size than those of the grid are scaled by the ratio of the areas.
    """
    by_level = [
        clip
        for clip in (*recipe.clips, recipe.combine)
        if isinstance(clip, RangeClip | NoiseClip | NoiseModel | AvgSigmaClip)
        or (isinstance(clip, SigmaClip) and clip.poisson)
    ]
    if not by_level:
        return
    on_grid = [frame for frame in frames if isinstance(frame, GridFrame)]
    if scaled := [frame for frame in on_grid if abs(frame.factor - 1) > AREA]:
        first, more = scaled[0], len(scaled) - 1
        yield (
            f"{by_level[0]} sees the values of {first.name}{f' and {more} more' if more else ''} "
            f"multiplied by {first.factor:.4g}, the ratio of pixel areas: multiply bounds and "
            "divide gains by this factor, or align with flux='unscaled'"
        )


def _not_aligned(frames: Sequence[Frame]) -> Iterator[str]:
    """A warning about exposures of the sky that are offset from each other and not aligned."""
    aligned = any(isinstance(frame, GridFrame) for frame in frames)
    seen = _is_light(frames[0]) and len(frames[0].shape) == 2
    if aligned or not seen or len(set(map(_pointing, frames))) == 1:
        return
    from gpustack.align.sky import first_apart  # loads astropy.wcs, which is slow

    if found := first_apart(frames):
        frame, reference, far = found
        where = f"{far:.3g} pixels from" if far < math.inf else "elsewhere on the sky than"
        yield (
            "frames are not aligned, and lie apart by the coordinates in their headers: "
            f"{frame.name} {where} {reference.name}; --align wcs brings them onto one grid, or "
            "--align register if these are only the coordinates that the telescope was sent to"
        )


def _mixed_chips(frames: Sequence[Frame]) -> Iterator[str]:
    """A warning about several images of each of several files that are not aligned."""
    images: dict[str, dict[int, str]] = {}
    for frame in frames:
        if isinstance(frame, FitsFrame):
            images.setdefault(frame.image.file, {})[frame.image.hdu.index] = frame.name
    several = [list(names.values()) for names in images.values() if len(names) > 1]
    if len(several) > 1:
        first, second, *_ = several[0]
        yield (
            f"frames are not aligned, and several are images of one file, such as {first} and "
            f"{second}: combine the chips of a camera one by one, by 'FILES[NAME]' (--hdu NAME), "
            "or bring them onto one grid by --align"
        )


def _is_light(frame: Frame) -> bool:
    """Whether a frame is an exposure of the sky, by its kind in the header, or else its OBJECT."""
    _, kind = _first_card(frame, _KIND_KEYS)
    if not kind:
        target = _first_card(frame, ("OBJECT",))[1]
        return _kind(target) == "light" or _OBJECTS.search(target) is not None
    return _kind(kind) == "light" and any(word in kind.lower() for word in _LIGHT)


def _pointing(frame: Frame) -> Any:
    """A key that is equal for frames that point alike: cards, or the WCS of an image in memory."""
    if frame.coordinates.of_file:
        return tuple(frame.header.get(key) for key in _POINTING)
    return frame.coordinates.given


def _left_out(frames: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about frames that are left out."""
    for name, reason in zip(frames["name"], left_out(frames), strict=True):
        if reason:
            yield f"{name}: left out: {reason}"


def _empty(frames: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about frames that are not left out and have no valid sample."""
    valid = frames.get("valid", [1.0] * len(frames["name"]))
    for name, reason, share in zip(frames["name"], left_out(frames), valid, strict=True):
        if share == 0 and not reason:
            yield f"{name}: no valid sample, so it does not contribute"
