"""What a number of a frame can come from: its samples, its header, a file."""

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import check, header_key, tidy, whole, word
from gpustack.measures.region import tidy_region

Role = Literal["scale", "zero", "weights"]
Reference = int | Literal["mean"] | None
Kind = Literal["median", "mean", "mode", "mad"]

#: Statistics that rise and fall with the level of a frame.
LEVELS = ("median", "mean", "mode")


class BaseMeasure:
    """Where the numbers of the frames come from, one a frame."""

    __slots__ = ()
    #: In JSON.
    name: ClassVar[str]

    @property
    def roles(self) -> tuple[Role, ...]:
        """What it can be given as."""
        return get_args(Role)

    @property
    def source(self) -> str:
        """Where the numbers come from, in words, without what they are relative to."""
        return self.name

    def __str__(self) -> str:
        reference = getattr(self, "reference", None)
        if reference is None:
            return self.source
        other = "the mean" if reference == "mean" else f"frame {reference}"
        return f"{self.source} relative to {other}"


def _tidy_reference(measure: Any) -> None:
    """Check `reference`: the number of a frame, ``"mean"`` or None."""
    kind, given = f"{type(measure).__name__} reference", measure.reference
    if isinstance(given, str):
        check(given == "mean", f"{kind}: expected a frame, from 0, or 'mean', got {given!r}")
    elif given is not None:
        tidy(measure, reference=whole(kind, given, 0))


def _over(region: str | None) -> str:
    return "" if region is None else f" over {region}"


@dataclass(frozen=True, slots=True)
class Statistic(BaseMeasure):
    """A statistic s of the valid samples of each frame, also by its word alone: ``"median"``.

    As a scale, ``s_0 / s_i`` (of ``s - zero`` where zeros are numbers); as a zero, what
    brings the scaled frame to the level of the reference, ``s_i - s_0 scale_0 / scale_i``;
    as weights, s itself, which is right for photon noise in frames that are scaled by s.

    Parameters
    ----------
    kind : {"median", "mean", "mode", "mad"}
        ``"mode"``: IRAF's. Take the middle 70% of the sorted samples, and move a bin a tenth as
        wide as their range along it, in steps of a hundredth. The mode is the sample in the
        middle of the fullest bin (the lowest of equally full ones). For fewer than 10 samples,
        the median.
        ``"mad"``: the median absolute deviation from the median; only as a scale. Together with
        a zero by another statistic it matches spread and level. For resampled frames it is
        mostly measured on the nearest samples, as `Noise` is.
    region : str, tuple of slices, or None
        Where samples are taken: a FITS section, ``"[x1:x2,y1:y2]"``, or slices, x last.
        None is the whole frame.
    reference : int, "mean" or None
        What frames are brought to: the number of a frame, counted from 0; the mean over the
        frames; or the first frame with a valid sample. Weights need none.

    Raises
    ------
    RecipeError
        Where a value is none of those above; it says which, and what was expected.

    References
    ----------
    IRAF imcombine ``scale``, ``zero``, ``weight``, ``statsec``; Siril ``-norm``.
    """

    kind: Kind
    region: str | None = None
    reference: Reference = None
    name: ClassVar[str] = "statistic"

    def __post_init__(self) -> None:
        tidy(
            self,
            kind=word("Statistic kind", self.kind, get_args(Kind)),
            region=tidy_region("Statistic", self.region),
        )
        _tidy_reference(self)

    @property
    def roles(self) -> tuple[Role, ...]:
        """A spread does not tell how to shift a frame."""
        return ("scale",) if self.kind == "mad" else get_args(Role)

    @property
    def source(self) -> str:
        """Kind and region."""
        return self.kind + _over(self.region)


@dataclass(frozen=True, slots=True)
class Exposure(BaseMeasure):
    """The exposure time t in the header, also as ``"exposure"``: scale ``t_0 / t_i``, weight t.

    Parameters
    ----------
    key : str
        The keyword that has it.
    reference : int, "mean" or None
        As in `Statistic`.

    Raises
    ------
    RecipeError
        Where a value is none of those above; it says which, and what was expected.

    References
    ----------
    IRAF imcombine ``exposure``, ``expname``.
    """

    key: str = "EXPTIME"
    reference: Reference = None
    name: ClassVar[str] = "exposure"

    def __post_init__(self) -> None:
        tidy(self, key=header_key("Exposure key", self.key))
        _tidy_reference(self)

    @property
    def roles(self) -> tuple[Role, ...]:
        """No level can be told from a time."""
        return ("scale", "weights")

    @property
    def source(self) -> str:
        """The word, and the keyword."""
        return f"exposure in {self.key}"


@dataclass(frozen=True, slots=True)
class Keyword(BaseMeasure):
    """The number that each header has for a keyword, also as ``"!KEY"``.

    It is taken as it is, as if it had been given: multiplied by as a scale, subtracted as a
    zero.

    Parameters
    ----------
    key : str
        As ``"GAIN"``.

    Raises
    ------
    RecipeError
        Where a value is none of those above; it says which, and what was expected.

    References
    ----------
    IRAF imcombine ``!keyword``, which adds a zero, and divides scales by that of the first
    frame.
    """

    key: str
    name: ClassVar[str] = "keyword"

    def __post_init__(self) -> None:
        tidy(self, key=header_key("Keyword key", self.key))

    @property
    def source(self) -> str:
        """As it is written on the command line."""
        return f"!{self.key}"


@dataclass(frozen=True, slots=True)
class FromFile(BaseMeasure):
    """The numbers in a text file, also as ``"@PATH"``, taken as if they had been given.

    One a line, in the order of the frames. Empty lines count nothing, nor does what
    follows a ``#``.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    RecipeError
        Where a value is none of those above; it says which, and what was expected.

    References
    ----------
    IRAF imcombine ``@file``; signs and factors as for `Keyword`.
    """

    path: str
    name: ClassVar[str] = "file"

    def __post_init__(self) -> None:
        is_path = isinstance(self.path, (str, os.PathLike)) and os.fspath(self.path) != ""
        check(is_path, f"FromFile path: expected the name of a file, got {self.path!r}")
        tidy(self, path=os.fsdecode(self.path))

    @property
    def source(self) -> str:
        """As it is written on the command line."""
        return f"@{self.path}"


@dataclass(frozen=True, slots=True)
class NCombine(BaseMeasure):
    """NCOMBINE in the header, 1 where there is none; also as ``"ncombine"``.

    Of stacks that are combined again, it weighs each by its number of frames.

    References
    ----------
    IRAF imcombine, which multiplies all other weights by it.
    """

    name: ClassVar[str] = "ncombine"

    @property
    def roles(self) -> tuple[Role, ...]:
        """A weight alone."""
        return ("weights",)


@dataclass(frozen=True, slots=True)
class Noise(BaseMeasure):
    """Inverse variance of the noise of each scaled frame, also as ``"noise"``.

    ``1 / (scale sigma)^2``, with the sigma of DER_SNR, which neither gradients nor stars
    change much: 1.4826 / sqrt(6) times the median of ``|2 d_x - d_(x-2) - d_(x+2)|`` along
    the rows, where all three samples are valid. For resampled frames it is mostly measured on
    the nearest samples, as interpolation smooths noise.

    Parameters
    ----------
    region : str, tuple of slices, or None
        As in `Statistic`.

    Raises
    ------
    RecipeError
        Where a value is none of those above; it says which, and what was expected.

    References
    ----------
    Stoehr et al., "DER_SNR", ASP Conf. Ser. 394, 2008, 505. Siril ``-weight=noise``, with
    another sigma.
    """

    region: str | None = None
    name: ClassVar[str] = "noise"

    def __post_init__(self) -> None:
        tidy(self, region=tidy_region("Noise", self.region))

    @property
    def roles(self) -> tuple[Role, ...]:
        """A weight alone."""
        return ("weights",)

    @property
    def source(self) -> str:
        """The word and the region."""
        return self.name + _over(self.region)


@dataclass(frozen=True, slots=True)
class Overlap(BaseMeasure):
    """Zeros from where frames overlap, also as ``"overlap"``: for frames that cover parts.

    For every two scaled frames the median of their differences where both have valid
    samples, ``D_ij``, and the number of these, ``n_ij``; then offsets o that minimise
    ``sum n_ij (o_i - o_j - D_ij)^2``, and ``zero = o / scale``.

    Parameters
    ----------
    reference : int, "mean" or None
        Which offset is 0: that of a frame, counted from 0; the mean of all; or that of the
        first frame with a valid sample.

    Raises
    ------
    RecipeError
        Where a value is none of those above; it says which, and what was expected.

    References
    ----------
    Siril ``-overlap_norm``; DRAGONS `NDStacker`, ``optimal_normalization``.
    """

    reference: Reference = None
    name: ClassVar[str] = "overlap"

    def __post_init__(self) -> None:
        _tidy_reference(self)

    @property
    def roles(self) -> tuple[Role, ...]:
        """A zero alone."""
        return ("zero",)


def check_pair(scale: Any, zero: Any) -> None:
    """Raise RecipeError where scale and zero are measured by what one of them settles."""
    pair = (scale, zero)
    levels = [isinstance(value, Statistic) and value.kind in LEVELS for value in pair]
    check(
        not all(levels),
        f"scale={str(scale)!r} and zero={str(zero)!r}: one statistic cannot set both; give "
        "scale='mad' to match the spread beside the level, or numbers for one of them",
    )
