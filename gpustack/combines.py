"""How the survivors of a column become one value: by a word, or by a `NoiseModel`."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import check, word
from gpustack.clips.base import tidy_noise
from gpustack.value_texts import from_text, to_text

CombineWord = Literal[
    "mean", "median", "lower_median", "lmedian", "sum", "quadrature", "min", "max"
]


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """The standard deviation of a mean, computed from the noise of a CCD at the samples' values.

    Let c be a sample before normalisation, or 0 if it is negative. Its variance is
    ``(rdnoise / gain)^2 + c / gain + (snoise * c)^2``, times the square of its frame's scale.
    The value of a column is ``sqrt(sum w^2 variance) / sum w`` over its survivors.

    Parameters
    ----------
    rdnoise : float or "!KEYWORD"
        Read-out noise in electrons, >= 0; or the keyword that holds it in the headers of all
        frames, which must agree.
    gain : float or "!KEYWORD"
        Electrons per unit of the samples, > 0.
    snoise : float or "!KEYWORD"
        Sensitivity noise, a fraction of the value, >= 0: 0.01 is a flat field good to 1%.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    Notes
    -----
    Subtracting a zero removes no noise, so the noise is that of the level before the subtraction.
    IRAF uses the level after it; the two agree where no zero is subtracted.

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
        return to_text(self)


Combine = CombineWord | NoiseModel

#: All ways to combine, by their words; the last is the name of `NoiseModel`.
METHODS: tuple[str, ...] = (*get_args(CombineWord), NoiseModel.name)
#: Words of IRAF and ccdproc -> ours.
NAMES_ELSEWHERE = {"average": "mean"}
#: Ways to combine that take one middle sample, or the mean of two.
MEDIANS = ("median", "lower_median", "lmedian")
#: Ways to combine whose value the samples scatter about.
AVERAGES = ("mean", *MEDIANS)
#: Ways to combine that add up squares.
QUADRATURES = ("quadrature", "nmodel")
#: Ways to combine that can have weights.
WEIGHTED = ("mean", "sum", *QUADRATURES)


def as_combine(given: Any) -> Combine:
    """`given` as a way to combine: a word, a noise model, or its text ``nmodel:field=value,...``.

    Raises
    ------
    RecipeError
        Where `given` is none of these.
    """
    if isinstance(given, NoiseModel):
        return given
    if isinstance(given, str) and given.partition(":")[0] == NoiseModel.name:
        model: NoiseModel = from_text("combine", NoiseModel, given)
        return model
    return word("combine", given, METHODS, NAMES_ELSEWHERE)  # type: ignore[return-value]


def to_record(combine: Combine) -> Any:
    """A way to combine as JSON holds it: a word, or a dict for a noise model."""
    if isinstance(combine, NoiseModel):
        return {"combine": combine.name, **asdict(combine)}
    return combine


def from_record(record: Any) -> Any:
    """The noise model that `to_record` made a dict of; anything but a dict as it is.

    Raises
    ------
    RecipeError, TypeError
        Where the dict has another name, other fields or invalid values.
    """
    if not isinstance(record, dict):
        return record
    values = dict(record)
    name = values.pop("combine", None)
    check(name == NoiseModel.name, f"combine: expected {NoiseModel.name!r}, got {name!r}")
    return NoiseModel(**values)
