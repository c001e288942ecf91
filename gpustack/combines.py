"""How the survivors of a column become one value: words, and a value with parameters."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import check, word
from gpustack.clips.base import tidy_noise
from gpustack.value_texts import read, written

CombineWord = Literal[
    "mean", "median", "lower_median", "lmedian", "sum", "quadrature", "min", "max"
]


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """The standard deviation of a mean, from the noise that a CCD has at the samples' values.

    With c a sample as it is in its frame, or 0 where that is negative, its variance is
    ``(rdnoise / gain)^2 + c / gain + (snoise * c)^2``, times the square of its frame's scale.
    The value of a column is ``sqrt(sum w^2 variance) / sum w`` over its survivors.

    Parameters
    ----------
    rdnoise : float or "!KEYWORD"
        Read-out noise in electrons, >= 0; or the keyword that says it in the headers of all frames,
        which must agree.
    gain : float or "!KEYWORD"
        Electrons per unit of the samples, > 0.
    snoise : float or "!KEYWORD"
        Sensitivity noise, a fraction of the value, >= 0: 0.01 is a flat field good to 1%.

    Raises
    ------
    RecipeError
        Where a value is none of those above; it says which, and what was expected.

    Notes
    -----
    Subtracting a zero removes no noise, so the level before that counts. IRAF takes the level
    that is left, which is the same where no zero is subtracted.

    References
    ----------
    IRAF imcombine ``combine=nmodel``.
    """

    rdnoise: float | str = 0.0
    gain: float | str = 1.0
    snoise: float | str = 0.0
    name: ClassVar[str] = "nmodel"

    def __post_init__(self) -> None:
        tidy_noise(self)

    def __str__(self) -> str:
        return written(self)


Combine = CombineWord | NoiseModel

#: All words; that of a `NoiseModel` is the last.
METHODS: tuple[str, ...] = (*get_args(CombineWord), NoiseModel.name)
#: What IRAF and ccdproc call it -> ours.
THEIRS = {"average": "mean"}
#: Those that are one or two of the middle samples, those that the samples scatter about, those
#: that add up squares, those that can have weights.
MEDIANS = ("median", "lower_median", "lmedian")
AVERAGES = ("mean", *MEDIANS)
QUADRATURES = ("quadrature", "nmodel")
WEIGHTED = ("mean", "sum", *QUADRATURES)


def as_combine(given: Any) -> Combine:
    """A word, or a noise model or its text ``nmodel:field=value,...``.

    Raises
    ------
    RecipeError
        Where it is neither.
    """
    if isinstance(given, NoiseModel):
        return given
    if isinstance(given, str) and given.partition(":")[0] == NoiseModel.name:
        model: NoiseModel = read("combine", NoiseModel, given)
        return model
    return word("combine", given, METHODS, THEIRS)  # type: ignore[return-value]


def to_record(combine: Combine) -> Any:
    """What JSON has for it."""
    if isinstance(combine, NoiseModel):
        return {"combine": combine.name, **asdict(combine)}
    return combine


def from_record(record: Any) -> Any:
    """What `to_record` made a record of.

    Raises
    ------
    RecipeError, TypeError
        Where the record is that of nothing.
    """
    if not isinstance(record, dict):
        return record
    values = dict(record)
    name = values.pop("combine", None)
    check(name == NoiseModel.name, f"combine: expected {NoiseModel.name!r}, got {name!r}")
    return NoiseModel(**values)
