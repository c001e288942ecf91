"""Builds the `StackResult` of a run: its header, and its images in the shape of a frame."""

from collections.abc import Mapping, Sequence
from typing import Any

from astropy.io import fits

from gpustack.align import AbsentFrame
from gpustack.backends.base import Outputs
from gpustack.backends.sink import Sink, Sum
from gpustack.frames import Frame
from gpustack.header import read_exposure_record, result_header, with_exposure
from gpustack.maps import Derived
from gpustack.recipe import Recipe
from gpustack.result import StackResult


def header_of(
    frames: Sequence[Frame], recipe: Recipe, origins: Sequence[str], date: str | None
) -> fits.Header:
    """Return the header of the result: the cards of the first frame, and how the result was made.

    Aligned frames that are left out do not count.

    Raises
    ------
    FrameError
        Where a card of the first frame cannot be written.
    """
    present = [i for i, frame in enumerate(frames) if not isinstance(frame, AbsentFrame)]
    used = [frames[i] for i in present]
    names = [frame.name for frame in used]
    exposures = [read_exposure_record(frame.header, frame.coordinates) for frame in used]
    first = with_exposure(used[0].header, used[0].coordinates)
    return result_header(first, recipe, names, exposures, origins, date, present)


def result_of(
    frames: Sequence[Frame],
    recipe: Recipe,
    out: Outputs,
    maps: Mapping[str, Derived],
    header: fits.Header | None,
) -> StackResult:
    """Wrap the arrays that the backend is to fill in a result; its `per_frame` is still empty.

    Where `header` is None, the result has an empty one.
    """
    first, shape = frames[0], frames[0].shape
    names = ("uncertainty", "count", "low", "high", "reasons")
    made: dict[str, Any] = {name: getattr(out, name) for name in names}
    if isinstance(made["count"], Sum):
        del made["count"]
    made |= {name: one.value for name, one in maps.items()}

    def shaped(array: Any) -> Any:
        if array is None:
            return None
        reshape = array.take_shape if isinstance(array, Sink) else array.reshape
        return reshape(*array.shape[:-2], *shape)

    return StackResult(
        data=shaped(out.data),
        mask=shaped(out.mask),
        recipe=recipe,
        header=fits.Header() if header is None else header,
        per_frame={},
        unit=first.unit,
        coordinates=first.coordinates,
        **{name: shaped(value) for name, value in made.items()},
    )
