"""The alignments: frozen values that describe how frames are brought onto one pixel grid.

An alignment checks its fields when it is made, and ``str`` writes the text that `as_alignment`
reads. A target that is a header or WCS has no such text, nor has a file with a comma before
``WORD=`` in its name. `gpustack.align` carries alignments out.
"""

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from gpustack.checks import boolean, check, real, set_fields, whole_number, word
from gpustack.value_texts import from_text, to_text

Method = Literal["interp", "adaptive", "exact"]
#: Interpolation by splines of degree 0, 1, 2 and 3.
Order = Literal["nearest-neighbor", "bilinear", "biquadratic", "bicubic"]
Flux = Literal["ratio", "local", "unscaled"]

#: The words that `Offsets` takes as its extent; any other text is a section.
EXTENTS = ("union", "intersection", "reference")
#: One axis of a section: ``*``, or first and last pixel, which may lie outside the frame.
_AXIS = re.compile(r"\*|-?\d{1,18}:-?\d{1,18}")
#: One size of a shape.
_SIZE = re.compile(r"\d{1,18}")
#: The parts of a text with pairs, ``[(y,x),(y,x)]``.
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PAIR = rf"\(({_NUMBER}),({_NUMBER})\)"


class BaseAlignment:
    """Base class of the alignments."""

    __slots__ = ()
    #: What the alignment is called in texts, as in ``wcs:extent=union``.
    name: ClassVar[str]
    #: What its file contains, for error messages; empty for an alignment that reads no file.
    reads: ClassVar[str] = ""

    @property
    def file(self) -> str | None:
        """The file that the alignment reads, FILE or FILE[HDU]; None if it reads none."""
        return None

    def from_file(self, file: str) -> Self:
        """A copy that reads another file."""
        raise NotImplementedError

    def __str__(self) -> str:
        return to_text(self)


@dataclass(frozen=True, slots=True)
class Reproject(BaseAlignment):
    """Resample each frame onto a grid on the sky, by the coordinates in its header.

    Parameters
    ----------
    target : {"first", "optimal"}, path, Header, or WCS
        The grid. ``"first"``: the grid of the first frame. ``"optimal"``: north up, the pixel
        size of the frame with the smallest pixels, and just large enough for all frames.
        Otherwise a FITS file, a header with NAXIS1 and NAXIS2, or a WCS with an ``array_shape``;
        it is checked when frames are aligned.
    extent : {"target", "union"}
        The pixels of the result: those of the target, or as many as hold all frames.
    shape : tuple of two int, optional
        (y, x), replaces the shape of the target; for ``"optimal"``, about the same centre.
    scale : float, optional
        Arcseconds per pixel, for ``"optimal"`` only.
    method : {"interp", "adaptive", "exact"}
        ``"interp"`` interpolates between pixels; ``"adaptive"`` averages with a kernel that covers
        the output pixel; ``"exact"`` weights pixels by the area on the sky that they share.
    order : {"nearest-neighbor", "bilinear", "biquadratic", "bicubic"}
        The order of the interpolation, for ``"interp"`` only.
    flux : {"ratio", "local", "unscaled"}
        How values change where pixels differ in size. ``"ratio"``: values are counts per pixel,
        and are scaled by one ratio, that of the pixel areas at the reference points, as in
        ccdproc. ``"local"``: the same, but scaled by the ratio at each pixel. ``"unscaled"``:
        values are surface brightness and stay as they are.
    skip : bool
        Leave out a frame that cannot be aligned, instead of raising an error.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    The ``reproject`` package; adaptive: DeForest, Solar Physics 219, 3 (2004);
    `ccdproc.wcs_project`; SWarp ``RESAMPLE``, ``FSCALASTRO_TYPE``.
    """

    target: Any = "first"
    extent: Literal["target", "union"] = "target"
    shape: tuple[int, int] | None = None
    scale: float | None = None
    method: Method = "interp"
    order: Order = "bilinear"
    flux: Flux = "ratio"
    skip: bool = False
    name: ClassVar[str] = "wcs"
    reads: ClassVar[str] = "target"

    def __post_init__(self) -> None:
        set_fields(
            self,
            extent=word("Reproject extent", self.extent, ("target", "union")),
            method=word("Reproject method", self.method, get_args(Method)),
            order=word("Reproject order", self.order, get_args(Order)),
            flux=word("Reproject flux", self.flux, get_args(Flux)),
            shape=_shape("Reproject shape", self.shape),
            scale=_scale("Reproject scale", self.scale),
            skip=boolean("Reproject skip", self.skip),
        )
        check(
            self.scale is None or self.target_is("optimal"),
            f"Reproject scale: expected target='optimal' with a scale, got target={self.target!r}",
        )
        check(
            self.shape is None or self.extent == "target",
            f"Reproject shape: expected none with extent='union', got {self.shape}",
        )
        check(
            self.order == "bilinear" or self.method == "interp",
            f"Reproject order: expected method='interp' with order={self.order!r}, got "
            f"method={self.method!r}",
        )

    def __str__(self) -> str:
        if isinstance(self.target, str | os.PathLike):
            return to_text(self)
        return to_text(replace(self, target="given"))

    @property
    def file(self) -> str | None:
        """The file of the target, FILE or FILE[HDU]; None if the target is not a file."""
        if not isinstance(self.target, str | os.PathLike) or self.target in ("first", "optimal"):
            return None
        return os.fsdecode(self.target)

    def from_file(self, file: str) -> Self:
        """A copy with another target."""
        return replace(self, target=file)

    def target_is(self, target: str) -> bool:
        """Whether the target is this word, and not a file, header or WCS."""
        return isinstance(self.target, str) and self.target == target


@dataclass(frozen=True, slots=True)
class Offsets(BaseAlignment):
    """Move frames by whole pixels; nothing is resampled, and samples outside a frame are invalid.

    An offset is added to the pixel coordinates of a frame: if a star is at (y, x) = (100, 100) on
    the first frame and at (90, 105) on another, the offset of the other frame is (10, -5). Only
    differences between offsets count. Differences from the first frame are rounded to whole
    pixels, halves away from 0, and the log says by how much. In a file, each offset itself is
    rounded, as in IRAF.

    Parameters
    ----------
    source : {"wcs"}, text, or array of shape (n, 2)
        Where the offsets come from. ``"wcs"``: the celestial coordinates in the headers, which
        say where on the first frame the centre of each frame lies. Numbers: pairs (y, x), one per
        frame; as text ``"[(0,0),(10,-5)]"``. ``"@FILE"``: a text file as IRAF reads it, one line
        per frame, *x first*: ``-5 10``; a line ``# absolute`` in it makes the union begin at
        offset 0 or before it. ``"!XKEY/YKEY"``: two keywords of the headers.
    extent : {"union", "intersection", "reference"} or a FITS section
        The pixels of the result: all that any frame has; those that all frames have; those of the
        first frame; or a section ``"[x1:x2,y1:y2]"``. A section counts from 1 on the first frame
        and includes both ends, which may lie outside that frame: ``"[-9:200,1:100]"``. ``*`` is a
        whole axis of the first frame.
    skip : bool
        Leave out a frame without coordinates or keywords, instead of raising an error. The first
        frame that has them then counts as the first.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    IRAF imcombine ``offsets``, ``outlimits``. ``offsets=wcs`` of IRAF uses the place of the first
    image's reference point on the others, which may be far outside all of them.
    """

    source: Any = "wcs"
    extent: str = "union"
    skip: bool = False
    name: ClassVar[str] = "offsets"
    reads: ClassVar[str] = "offsets"

    def __post_init__(self) -> None:
        set_fields(
            self,
            source=_source("Offsets source", self.source),
            extent=_extent("Offsets extent", self.extent),
            skip=boolean("Offsets skip", self.skip),
        )

    def __str__(self) -> str:
        if isinstance(self.source, str):
            return to_text(self)
        pairs = ",".join(f"({y!r},{x!r})" for y, x in self.source)
        return to_text(replace(self, source="wcs")).replace("source=wcs", f"source=[{pairs}]")

    @property
    def file(self) -> str | None:
        """The file that contains the offsets; None if they come from elsewhere."""
        named = isinstance(self.source, str) and self.source.startswith("@")
        return self.source[1:] if named else None

    def from_file(self, file: str) -> Self:
        """A copy with the offsets of another file."""
        return replace(self, source=f"@{file}")


@dataclass(frozen=True, slots=True)
class Register(BaseAlignment):
    """Align frames by their images; no coordinates are needed.

    Parameters
    ----------
    by : {"phase", "stars"}
        ``"phase"``: a shift, by phase cross-correlation; it needs no distinct stars, and works
        deep in the noise. ``"stars"``: shift, rotation and scale, by matching stars; mirrored
        frames do not match. Both need packages that the extra ``gpustack[register]`` installs,
        such as scikit-image and astroalign.
    reference : int
        The frame that the others are aligned to, counted from 0.
    upsample : int
        For ``"phase"``: shifts are measured to ``1 / upsample`` pixel. With 1, frames are moved
        by whole pixels, and nothing is resampled. Measuring takes memory that grows with the
        square: 40 MB for 1000, 330 MB for 3000.
    order : {"nearest-neighbor", "bilinear", "biquadratic", "bicubic"}
        How values between pixels are interpolated, where shifts are not whole.
    extent : {"reference", "union"}
        The pixels of the result: those of the reference, or as many as hold all frames.
    skip : bool
        Leave out a frame that cannot be aligned, instead of raising an error.
    flux : {"ratio", "unscaled"}
        As for `Reproject`. ``"ratio"``: values are counts per pixel, and are scaled by the ratio
        of the pixel areas, so that stars keep their flux. ``"unscaled"``: values are surface
        brightness and stay as they are.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    Guizar-Sicairos, Thurman and Fienup, Optics Letters 33, 156 (2008); Beroiz, Cabral and Sanchez,
    Astronomy and Computing 32, 100384 (2020); `astroalign.find_transform`,
    `skimage.registration.phase_cross_correlation` (upsample_factor),
    IRAF xregister, Siril register.
    """

    by: Literal["phase", "stars"] = "phase"
    reference: int = 0
    upsample: int = 100
    order: Order = "bilinear"
    extent: Literal["reference", "union"] = "reference"
    skip: bool = False
    flux: Literal["ratio", "unscaled"] = "ratio"
    name: ClassVar[str] = "register"

    def __post_init__(self) -> None:
        set_fields(
            self,
            by=word("Register by", self.by, ("phase", "stars")),
            reference=whole_number("Register reference", self.reference, 0),
            upsample=whole_number("Register upsample", self.upsample, 1),
            order=word("Register order", self.order, get_args(Order)),
            extent=word("Register extent", self.extent, ("reference", "union")),
            skip=boolean("Register skip", self.skip),
            flux=word("Register flux", self.flux, ("ratio", "unscaled")),
        )
        check(
            self.by == "phase" or self.upsample == 100,
            f"Register upsample: expected by='phase' with upsample={self.upsample}, got "
            f"by={self.by!r}",
        )
        check(
            self.order == "bilinear" or self.by == "stars" or self.upsample > 1,
            f"Register order: expected upsample > 1 with order={self.order!r}, as whole pixels are "
            "not resampled, got upsample=1",
        )


Alignment = Reproject | Offsets | Register
#: Name in texts -> class.
ALIGNMENTS: dict[str, type[Alignment]] = {kind.name: kind for kind in get_args(Alignment)}
#: Names that other programs and users may try -> the text that an error suggests.
_NAMES_ELSEWHERE = {"reproject": "wcs", "phase": "register", "stars": "register:by=stars"}


def as_alignment(given: Any) -> Alignment | None:
    """`given` as an alignment: an alignment, its text ``NAME:field=value,...``, or None.

    Raises
    ------
    RecipeError
        Where `given` is none of these.
    """
    if given is None or isinstance(given, Alignment):
        return given
    check(
        isinstance(given, str),
        f"align: expected {', '.join(ALIGNMENTS)} with fields, an alignment or None, got {given!r}",
    )
    name = word("align", given.partition(":")[0], tuple(ALIGNMENTS), _NAMES_ELSEWHERE)
    value: Alignment = from_text("align", ALIGNMENTS[name], given)
    return value


def _shape(name: str, given: Any) -> tuple[int, int] | None:
    """A shape (y, x), from two whole numbers or the text ``"NYxNX"``."""
    if given is None:
        return None
    parts = given.split("x") if isinstance(given, str) else given
    check(
        isinstance(parts, Iterable) and len(parts := list(parts)) == 2,
        f"{name}: expected two numbers, y and x, as (100, 200) or '100x200', got {given!r}",
    )
    y, x = (int(part) if _SIZE.fullmatch(str(part)) else part for part in parts)
    return whole_number(name, y, 1), whole_number(name, x, 1)


def _scale(name: str, given: Any) -> float | None:
    """A pixel scale in arcseconds, above 0."""
    if given is None:
        return None
    value = real(given)
    check(0 < value < float("inf"), f"{name}: expected arcseconds above 0, got {given!r}")
    return value


def _source(name: str, given: Any) -> str | tuple[tuple[float, float], ...]:
    """The source of `Offsets`: pairs (y, x) from numbers or text; other valid text as it is."""
    if not isinstance(given, str):
        return _pairs(name, given)
    text = re.sub(r"\s", "", given)
    if re.fullmatch(rf"\[{_PAIR}(?:,{_PAIR})*\]", text):
        return _pairs(name, [map(float, pair) for pair in re.findall(_PAIR, text)])
    x, _, y = given.removeprefix("!").partition("/")
    is_keys = given.startswith("!") and all(key.strip() for key in (x, y)) and "/" not in y
    check(
        given == "wcs" or is_keys or (given.startswith("@") and len(given) > 1),
        f"{name}: expected 'wcs', '@FILE', '!XKEY/YKEY' or pairs (y, x), got {given!r}",
    )
    return given


def _pairs(name: str, given: Any) -> tuple[tuple[float, float], ...]:
    """Pairs (y, x), one per frame; whole numbers become int."""
    rows = given if isinstance(given, Iterable) and getattr(given, "ndim", 2) == 2 else ()
    pairs = [tuple(row) if isinstance(row, Iterable) else () for row in rows]
    check(
        bool(pairs) and all(len(pair) == 2 for pair in pairs),
        f"{name}: expected 'wcs', '@FILE', '!XKEY/YKEY' or an array of shape (n, 2), pairs "
        f"(y, x), got {given!r}",
    )
    for index, pair in enumerate(pairs):
        check(
            all(math.isfinite(real(value)) for value in pair),
            f"{name}: expected finite numbers, got {pair!r} at index {index}",
        )
    y, x = ([real(pair[axis]) for pair in pairs] for axis in (0, 1))
    return tuple((_tidied(a), _tidied(b)) for a, b in zip(y, x, strict=True))


def _tidied(value: float) -> float:
    return int(value) if value.is_integer() else value


def _extent(name: str, given: Any) -> str:
    """The extent of `Offsets`: a word, or a section without its blanks."""
    text = re.sub(r"\s", "", given) if isinstance(given, str) else ""
    axes = text[1:-1].split(",")
    is_section = text[:1] == "[" and text[-1:] == "]" and len(axes) == 2
    check(
        text in EXTENTS or (is_section and all(_AXIS.fullmatch(axis) for axis in axes)),
        f"{name}: expected {', '.join(map(repr, EXTENTS))} or a section such as "
        f"'[-9:100,1:50]', x first, got {given!r}",
    )
    return text
