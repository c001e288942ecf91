"""The alignments: frozen values that say how frames are brought onto one pixel grid.

An alignment checks itself when it is made, and prints in the form in which `as_alignment` reads
it. What it does is in `gpustack.align`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import check, real, tidy, whole, word
from gpustack.texts import read, written

Method = Literal["interp", "adaptive", "exact"]
Order = Literal["nearest-neighbor", "bilinear", "biquadratic", "bicubic"]
Flux = Literal["ratio", "local", "none"]


class BaseAlignment:
    """How frames are brought onto one grid."""

    __slots__ = ()
    #: In texts.
    name: ClassVar[str]

    def __str__(self) -> str:
        return written(self)


@dataclass(frozen=True, slots=True)
class Reproject(BaseAlignment):
    """Resample each frame onto a grid on the sky, by the coordinates in its header.

    Parameters
    ----------
    target : {"first", "optimal"}, path, Header, or WCS
        The grid. ``"first"``: that of the first frame. ``"optimal"``: north up, with the smallest
        of the frames' pixels, just around all of them. Else that of a FITS file, a header with
        NAXIS1 and NAXIS2, or a WCS with an ``array_shape``.
    extent : {"target", "union"}
        Which pixels of it: those that the target has, or as many as hold all frames.
    shape : tuple of two int, optional
        (y, x), in place of those of the target.
    scale : float, optional
        Arcseconds a pixel, for ``"optimal"``.
    method : {"interp", "adaptive", "exact"}
        ``"interp"`` interpolates between pixels; ``"adaptive"`` averages with a kernel that covers
        the output pixel; ``"exact"`` weighs by the areas on the sky that pixels share.
    order : {"nearest-neighbor", "bilinear", "biquadratic", "bicubic"}
        For ``"interp"``.
    flux : {"ratio", "local", "none"}
        What becomes of values where pixels differ in size. ``"ratio"``: they are counts a pixel,
        scaled by the one ratio of the pixel areas at the reference points, as ccdproc does;
        ``"local"``: scaled by the ratio at each pixel; ``"none"``: they are surface brightness.
    skip : bool
        Leave out a frame that cannot be aligned, instead of raising an error.

    References
    ----------
    The ``reproject`` package; `ccdproc.wcs_project`; SWarp ``RESAMPLE``, ``FSCALASTRO_TYPE``.
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

    def __post_init__(self) -> None:
        tidy(
            self,
            extent=word("Reproject extent", self.extent, ("target", "union")),
            method=word("Reproject method", self.method, get_args(Method)),
            order=word("Reproject order", self.order, get_args(Order)),
            flux=word("Reproject flux", self.flux, get_args(Flux)),
            shape=_shape("Reproject shape", self.shape),
            scale=_scale("Reproject scale", self.scale),
            skip=_yes_or_no("Reproject skip", self.skip),
        )
        check(
            self.scale is None or self.target_is("optimal"),
            f"Reproject scale: expected one for target 'optimal' alone, got {self.target!r}",
        )
        check(
            self.order == "bilinear" or self.method == "interp",
            f"Reproject order: expected one for method 'interp' alone, got {self.method!r}",
        )

    def target_is(self, target: str) -> bool:
        """Whether the target is given as that word."""
        return isinstance(self.target, str) and self.target == target


@dataclass(frozen=True, slots=True)
class Offsets(BaseAlignment):
    """Move frames by whole pixels; nothing is resampled.

    Parameters
    ----------
    source : {"wcs"}, text, or array of shape (n, 2)
        Where the offsets come from. ``"wcs"``: the coordinates in the headers, rounded. Numbers
        are (y, x): which pixel of the reference the first pixel of each frame lies on. TODO
    extent : {"union", "intersection", "reference"} or a FITS section
        The pixels of the result: all that any frame has, those that all have, those of the
        first frame, or those of ``"[x1:x2,y1:y2]"``, counted on the first frame.
    skip : bool
        Leave out a frame that cannot be aligned, instead of raising an error.
    """

    source: Any = "wcs"
    extent: str = "union"
    skip: bool = False
    name: ClassVar[str] = "offsets"


@dataclass(frozen=True, slots=True)
class Register(BaseAlignment):
    """Align frames by what is seen on them; no coordinates are needed.

    Parameters
    ----------
    by : {"phase", "stars"}
        ``"phase"``: a shift, by phase cross-correlation; it takes no stars that can be told apart,
        and finds them deep in the noise. ``"stars"``: shift, rotation and scale, by matching
        stars; mirrored frames do not match. The extra ``gpustack[register]`` brings scikit-image
        and astroalign, which do it.
    reference : int
        The frame that others are aligned to, counted from 0.
    upsample : int
        For ``"phase"``: shifts are measured to ``1 / upsample`` pixel. With 1, frames are moved
        by whole pixels, and nothing is resampled.
    order : {"nearest-neighbor", "bilinear", "biquadratic", "bicubic"}
        How values between pixels are interpolated, where shifts are not whole. Values are counts
        a pixel: scaled by the ratio of the pixel areas, so that stars keep their flux.
    extent : {"reference", "union"}
        The pixels of the result: those of the reference, or as many as hold all frames.
    skip : bool
        Leave out a frame that cannot be aligned, instead of raising an error.

    References
    ----------
    `skimage.registration.phase_cross_correlation` (upsample_factor), `astroalign.find_transform`,
    IRAF xregister, Siril register.
    """

    by: Literal["phase", "stars"] = "phase"
    reference: int = 0
    upsample: int = 100
    order: Order = "bilinear"
    extent: Literal["reference", "union"] = "reference"
    skip: bool = False
    name: ClassVar[str] = "register"

    def __post_init__(self) -> None:
        tidy(
            self,
            by=word("Register by", self.by, ("phase", "stars")),
            reference=whole("Register reference", self.reference, 0),
            upsample=whole("Register upsample", self.upsample, 1),
            order=word("Register order", self.order, get_args(Order)),
            extent=word("Register extent", self.extent, ("reference", "union")),
            skip=_yes_or_no("Register skip", self.skip),
        )
        check(
            self.by == "phase" or self.upsample == 100,
            f"Register upsample: expected one for by='phase' alone, got {self.upsample} for "
            f"{self.by!r}",
        )
        check(
            self.order == "bilinear" or self.by == "stars" or self.upsample > 1,
            "Register order: expected one where frames are resampled, got "
            f"{self.order!r} for upsample=1",
        )


Alignment = Reproject | Offsets | Register
#: By the names that texts have for them.
ALIGNMENTS: dict[str, type[Alignment]] = {kind.name: kind for kind in get_args(Alignment)}


def as_alignment(given: Any) -> Alignment | None:
    """An alignment, or its text ``NAME:field=value,...``; None as it is.

    Raises
    ------
    RecipeError
        Where it is neither.
    """
    if given is None or isinstance(given, Alignment):
        return given
    check(
        isinstance(given, str),
        f"align: expected {', '.join(ALIGNMENTS)} with fields, an alignment or None, got {given!r}",
    )
    name = given.partition(":")[0]
    value: Alignment = read("align", ALIGNMENTS[word("align", name, tuple(ALIGNMENTS))], given)
    return value


def _shape(name: str, given: Any) -> tuple[int, int] | None:
    """Two whole numbers, also as the text ``"NYxNX"``."""
    if given is None:
        return None
    parts = given.split("x") if isinstance(given, str) else given
    sizes = [int(part) if str(part).isdigit() else part for part in parts]
    check(len(sizes) == 2, f"{name}: expected two numbers, y and x, got {given!r}")
    return whole(name, sizes[0], 1), whole(name, sizes[1], 1)


def _scale(name: str, given: Any) -> float | None:
    """Arcseconds a pixel."""
    if given is None:
        return None
    value = real(given)
    check(0 < value < float("inf"), f"{name}: expected arcseconds above 0, got {given!r}")
    return value


def _yes_or_no(name: str, given: Any) -> bool:
    check(isinstance(given, bool), f"{name}: expected True or False, got {given!r}")
    return bool(given)
