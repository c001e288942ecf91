"""The kinds of measures, which take the number of a frame from its samples, header or a file."""

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import check, header_key, set_fields, whole_number, word
from gpustack.measures.region import tidy_region

Role = Literal["scale", "zero", "weights"]
Reference = int | Literal["mean"] | None
Kind = Literal["median", "mean", "mode", "mad"]

#: Statistics that follow the level of a frame.
LEVELS = ("median", "mean", "mode")


class BaseMeasure:
    """The base of all measures, which say where the numbers of the frames come from."""

    __slots__ = ()
    #: The name of the measure in JSON.
    name: ClassVar[str]

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles in which the measure can be given."""
        return get_args(Role)

    @property
    def source(self) -> str:
        """Where the numbers come from, in words, without the reference."""
        return self.name

    def __str__(self) -> str:
        reference = getattr(self, "reference", None)
        if reference is None:
            return self.source
        other = "the mean" if reference == "mean" else f"frame {reference}"
        return f"{self.source} relative to {other}"


def _tidy_reference(measure: Any) -> None:
    """Check the field `reference`: the number of a frame, ``"mean"`` or None."""
    kind, given = f"{type(measure).__name__} reference", measure.reference
    if isinstance(given, str):
        check(given == "mean", f"{kind}: expected a frame, from 0, or 'mean', got {given!r}")
    elif given is not None:
        set_fields(measure, reference=whole_number(kind, given, 0))


def _over(region: str | None) -> str:
    return "" if region is None else f" over {region}"


@dataclass(frozen=True, slots=True)
class Statistic(BaseMeasure):
    """A statistic s of the valid samples of each frame, also given as a word: ``"median"``.

    As a scale it is ``s_0 / s_i``; for a level, that of ``s - zero`` if there is a zero that is
    neither a statistic nor an `Overlap`. As a zero it is what brings the scaled frame to the level
    of the reference, ``s_i - s_0 scale_0 / scale_i``. As weights it is s itself, which is right for
    photon noise in frames that are scaled by s.

    Parameters
    ----------
    kind : {"median", "mean", "mode", "mad"}
        ``"mode"``: the mode as in IRAF. A bin a tenth as wide as the range of the middle 70% of
        the sorted samples moves along that range, in steps of a hundredth of it. The mode is the
        sample in the middle of the fullest bin, the lowest of equally full ones. For fewer than 10
        samples it is the median.
        ``"mad"``: the median absolute deviation from the median; only as a scale. Together with
        a zero by another statistic it matches both spread and level. For resampled frames it is
        mostly measured on the nearest samples, as `Noise` is.
    region : str, tuple of slices, or None
        Where samples are taken from: a FITS section, ``"[x1:x2,y1:y2]"``, or slices, x last.
        None is the whole frame.
    reference : int, "mean" or None
        What frames are brought to: a frame, by its number counted from 0; the mean over the
        frames; or, for None, the first frame with a valid sample. Weights do not use it.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    IRAF imcombine ``scale``, ``zero``, ``weight``, ``statsec``; Siril ``-norm``.
    """

    kind: Kind
    region: str | None = None
    reference: Reference = None
    name: ClassVar[str] = "statistic"

    def __post_init__(self) -> None:
        set_fields(
            self,
            kind=word("Statistic kind", self.kind, get_args(Kind)),
            region=tidy_region("Statistic", self.region),
        )
        _tidy_reference(self)

    @property
    def roles(self) -> tuple[Role, ...]:
        """All roles; for the mad only a scale, as a spread does not say how to shift a frame."""
        return ("scale",) if self.kind == "mad" else get_args(Role)

    @property
    def source(self) -> str:
        """The kind and the region."""
        return self.kind + _over(self.region)


@dataclass(frozen=True, slots=True)
class Exposure(BaseMeasure):
    """The exposure time t in the header, also given as ``"exposure"``.

    As a scale it is ``t_0 / t_i``, as weights t itself.

    Parameters
    ----------
    key : str
        The keyword that contains the exposure time.
    reference : int, "mean" or None
        As in `Statistic`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    IRAF imcombine ``exposure``, ``expname``.
    """

    key: str = "EXPTIME"
    reference: Reference = None
    name: ClassVar[str] = "exposure"

    def __post_init__(self) -> None:
        set_fields(self, key=header_key("Exposure key", self.key))
        _tidy_reference(self)

    @property
    def roles(self) -> tuple[Role, ...]:
        """Scale and weights; a time does not say how to shift a frame."""
        return ("scale", "weights")

    @property
    def source(self) -> str:
        """The word and the keyword."""
        return f"exposure in {self.key}"


@dataclass(frozen=True, slots=True)
class Keyword(BaseMeasure):
    """The number that each header has for a keyword, also given as ``"!KEY"``.

    It is used unchanged, as if numbers had been given: samples are multiplied by it as a scale, and
    it is subtracted from them as a zero.

    Parameters
    ----------
    key : str
        The keyword, such as ``"GAIN"``.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    IRAF imcombine ``!keyword``, which adds a zero, and divides scales by that of the first
    frame.
    """

    key: str
    name: ClassVar[str] = "keyword"

    def __post_init__(self) -> None:
        set_fields(self, key=header_key("Keyword key", self.key))

    @property
    def source(self) -> str:
        """As it is written on the command line."""
        return f"!{self.key}"


@dataclass(frozen=True, slots=True)
class FromFile(BaseMeasure):
    """The numbers in a text file, also given as ``"@PATH"``.

    They are used as if numbers had been given. The file contains one number per line, in the order
    of the frames. Empty lines and text after a ``#`` are ignored.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    IRAF imcombine ``@file``; signs and factors as for `Keyword`.
    """

    path: str
    name: ClassVar[str] = "file"

    def __post_init__(self) -> None:
        is_path = isinstance(self.path, (str, os.PathLike)) and os.fspath(self.path) != ""
        check(is_path, f"FromFile path: expected the name of a file, got {self.path!r}")
        set_fields(self, path=os.fsdecode(self.path))

    @property
    def source(self) -> str:
        """As it is written on the command line."""
        return f"@{self.path}"


@dataclass(frozen=True, slots=True)
class NCombine(BaseMeasure):
    """NCOMBINE in the header, or 1 where it is missing; also given as ``"ncombine"``.

    Where stacks are combined again, it weights each by its number of frames.

    References
    ----------
    IRAF imcombine, which multiplies all other weights by it.
    """

    name: ClassVar[str] = "ncombine"

    @property
    def roles(self) -> tuple[Role, ...]:
        """Weights only."""
        return ("weights",)


@dataclass(frozen=True, slots=True)
class Noise(BaseMeasure):
    """The inverse variance of the noise of each scaled frame, also given as ``"noise"``.

    It is ``1 / (scale sigma)^2``, with the sigma of DER_SNR, which neither gradients nor stars
    change much: 1.4826 / sqrt(6) times the median of ``|2 d_x - d_(x-2) - d_(x+2)|`` along
    the rows, where all three samples are valid. For resampled frames it is mostly measured on
    the nearest samples, because interpolation smooths noise.

    Parameters
    ----------
    region : str, tuple of slices, or None
        As in `Statistic`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    Stoehr et al., "DER_SNR", ASP Conf. Ser. 394, 2008, 505. Siril ``-weight=noise``, with
    another sigma.
    """

    region: str | None = None
    name: ClassVar[str] = "noise"

    def __post_init__(self) -> None:
        set_fields(self, region=tidy_region("Noise", self.region))

    @property
    def roles(self) -> tuple[Role, ...]:
        """Weights only."""
        return ("weights",)

    @property
    def source(self) -> str:
        """The word and the region."""
        return self.name + _over(self.region)


@dataclass(frozen=True, slots=True)
class Overlap(BaseMeasure):
    """Zeros from where frames overlap, also given as ``"overlap"``; for frames of parts of a field.

    For every two scaled frames, ``D_ij`` is the median of their differences where both have valid
    samples, and ``n_ij`` the number of these samples. The offsets o minimise
    ``sum n_ij (o_i - o_j - D_ij)^2``, and ``zero = o / scale``.

    Parameters
    ----------
    reference : int, "mean" or None
        Which offset is 0: that of a frame, by its number counted from 0; the mean of all; or, for
        None, that of the first frame with a valid sample.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

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
        """A zero only."""
        return ("zero",)


def check_pair(scale: Any, zero: Any) -> None:
    """Raise RecipeError where scale and zero are both measured by statistics of the level."""
    pair = (scale, zero)
    levels = [isinstance(value, Statistic) and value.kind in LEVELS for value in pair]
    check(
        not all(levels),
        f"scale={str(scale)!r} and zero={str(zero)!r}: statistics of the level cannot set "
        "both; give scale='mad' to match spread and level, or numbers for one of them",
    )
