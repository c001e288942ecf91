"""Turn a recipe into a kernel: the -D names it is compiled with, its arguments, its launch."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import abi, clips, device, source
from gpustack.errors import BackendError
from gpustack.recipe import Recipe

KERNEL = "combine"

#: Blocks for each multiprocessor: enough to hide latency, but few, because each block adds its
#: tallies of frames to device memory at its end.
BLOCKS = 32

_TALLIES = ("valid", "rejected")


def c_type(dtype: np.dtype[Any]) -> str | None:
    """The C type in which a kernel reads samples; None where it cannot, as for float16."""
    return abi.STORED.get(dtype.str[1:])


def common_dtype(dtypes: Sequence[np.dtype[Any]], real: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of samples on the device: the one that all frames have, else `real`, decoded."""
    first = dtypes[0]
    uniform = c_type(first) is not None and all(dtype == first for dtype in dtypes)
    return first if uniform else real


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A recipe for `n` frames: what a kernel is compiled for, and what it is passed.

    Parameters
    ----------
    recipe : Recipe
    n : int
    real : dtype
        The working dtype, in which samples are compared.
    stored : dtype
        The dtype of samples on the device.
    wanted : Outputs
        Only what is not None in it is computed.
    """

    recipe: Recipe
    n: int
    real: np.dtype[Any]
    stored: np.dtype[Any]
    wanted: Outputs

    @property
    def result(self) -> np.dtype[Any]:
        """The dtype of data and uncertainty."""
        for array in (self.wanted.data, self.wanted.uncertainty):
            if array is not None:
                return np.dtype(array.dtype)
        return self.real

    @property
    def kinds(self) -> dict[str, np.dtype[Any]]:
        """The dtypes in which a kernel reads the arrays of `Samples`."""
        real = np.dtype(np.float64)
        return {"data": self.stored, "mask": np.dtype(bool), "weight": real, "variance": real}

    @property
    def wants_tallies(self) -> bool:
        """Whether samples are counted per frame."""
        return any(getattr(self.wanted, name) is not None for name in _TALLIES)

    @property
    def block(self) -> int:
        """Threads of a block."""
        return abi.block_threads(self.n_macro, self.real.itemsize)

    @property
    def spread(self) -> str | None:
        """The spread that the uncertainty is made of; None where no uncertainty is wanted."""
        return self.recipe.spread if self.wanted.uncertainty is not None else None

    @property
    def n_macro(self) -> int:
        """The value of -D N: the number of frames, or 0 for a kernel that takes any number."""
        ranks = clips.asks_for_ranks(self.recipe, self.spread)
        return abi.frames_macro(self.n, self.real.itemsize, ranks)

    def names(self, records: NDArray[Any], width: int) -> tuple[tuple[str, str], ...]:
        """The -D names and their values, given the table of the frames and their width."""
        recipe, wanted = self.recipe, self.wanted
        # Without clips both are the same, and normalising early reads the samples only once.
        late = recipe.clip_on == "raw" and bool(recipe.clips)
        when = abi.NORMALIZE_LATE if late else abi.NORMALIZE_EARLY
        weighted = abi.WEIGHTED_SAMPLE if recipe.weights == "sample" else abi.WEIGHTED_FRAME
        numbers = {
            "N": self.n_macro,
            "SWAP": not self.stored.isnative,
            "SCALED": bool(np.any((records["bscale"] != 1) | (records["bzero"] != 0))),
            "MASKED": bool(records["mask"].any() or records["has_blank"].any()),
            "NORMALIZE": when if recipe.normalizes else abi.NORMALIZE_NONE,
            "CLIPPED": clips.clipped_macro(recipe),
            "REPLACES": recipe.replaces,
            "COMBINE": abi.COMBINE[recipe.method],
            "SPREAD": abi.SPREAD[self.spread],
            "WEIGHTED": abi.WEIGHTED_NOT if recipe.weights is None else weighted,
            "FLAT": self._is_flat(records, width),
            "LOOK": wanted.reasons is not None or self.wants_tallies,
            "BLOCK": self.block,
        }
        types = {"REAL": self.real, "STORED": self.stored, "OUT": self.result}
        return tuple(
            [(name, str(int(value))) for name, value in numbers.items()]
            + [(name, str(c_type(dtype))) for name, dtype in types.items()]
        )

    def _is_flat(self, records: NDArray[Any], width: int) -> bool:
        """Whether no array of any frame has gaps between its rows."""
        gaps = [
            (records[name] != 0) & (records[f"{name}_stride"] != width * dtype.itemsize)
            for name, dtype in self.kinds.items()
        ]
        return not np.any(gaps)

    def planes(self, records: NDArray[Any]) -> NDArray[Any]:
        """The addresses of frames and masks by value; see `Planes` in ``kernels/abi.h``."""
        held = abi.held_frames(self.n_macro, self.real.itemsize)
        record = np.zeros(1, abi.planes(held))
        if held:
            record["data"], record["mask"] = records["data"], records["mask"]
        return record

    def records(self, band: Sequence[Samples]) -> NDArray[Any]:
        """The table of the frames, with all addresses and strides at 0."""
        recipe = self.recipe
        table = np.zeros(self.n, abi.FRAME)
        table["bscale"] = [samples.bscale for samples in band]
        table["bzero"] = [samples.bzero for samples in band]
        for row, samples in zip(table, band, strict=True):
            if samples.blank is not None and can_equal(samples.blank, samples.data.dtype):
                row["has_blank"], row["blank"] = 1, _wrapped(samples.blank)
        table["zero"] = 0.0 if recipe.zero is None else recipe.zero
        table["scale"] = 1.0 if recipe.scale is None else recipe.scale
        table["weight_value"] = recipe.weights if isinstance(recipe.weights, tuple) else 1.0
        return table

    @property
    def clip_bytes(self) -> int:
        """Bytes of the table of clips."""
        return clips.table_bytes(self.recipe, self.n)

    def clip_table(self, address: int, row: int) -> NDArray[np.uint8]:
        """The table of clips for this address, for a band that begins at `row`."""
        return clips.table(self.recipe, self.n, address, row)


def can_equal(value: int, dtype: np.dtype[Any]) -> bool:
    """Whether samples of a dtype can equal this BLANK; floats have no BLANK."""
    return dtype.kind in "iu" and bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


def _wrapped(value: int) -> int:
    """The signed integer with the same 64 bits as this one, which may be unsigned."""
    return value - (1 << 64) if value >= 1 << 63 else value


class Kernels:
    """Compiled kernels, one for each set of names and device. CuPy keeps them on disk too."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def get(self, names: tuple[tuple[str, str], ...]) -> Any:
        """The kernel for the current device, compiled on first use.

        Raises
        ------
        BackendError
            Where it does not compile; the message has the file and the line.
        """
        cupy = device.cupy()
        key = (cupy, names, cupy.cuda.runtime.getDevice())
        with self._lock:
            if key not in self._known:
                self._known[key] = _compile(cupy, names)
            return self._known[key]

    def prepare(
        self, job: Job, records: NDArray[Any], frames: int, clip_table: int, out: Any, shape: Any
    ) -> Callable[[], None]:
        """A function that launches the kernel for a band on the then current stream.

        Parameters
        ----------
        job : Job
        records : ndarray of abi.FRAME
            The table of the frames, as it is on the device.
        frames, clip_table : int
            Addresses of the tables on the device.
        out : ndarray of abi.OUT, one record
        shape : (rows, width)
        """
        rows, width = shape
        kernel = self.get(job.names(records, width))
        blocks = min(-(-rows * width // job.block), _most_blocks())
        # CuPy converts no argument, so each needs the exact type that the kernel declares.
        arguments = (
            np.uint64(frames),
            np.int32(job.n),
            np.uint64(clip_table),
            np.int32(len(job.recipe.clips)),
            np.int32(len(job.recipe.raw_ranges)),
            np.int64(rows * width),
            np.int64(width),
            out,
            job.planes(records),
        )
        block = job.block
        return lambda: kernel((blocks,), (block,), arguments)


def _most_blocks() -> int:
    """The blocks of a grid that fills the current device; its threads loop over pixels."""
    attributes = device.cupy().cuda.Device().attributes
    return int(attributes["MultiProcessorCount"]) * BLOCKS


def _compile(cupy: Any, names: tuple[tuple[str, str], ...]) -> Any:
    text, options = source.read(KERNEL), source.options(names)
    try:
        module = cupy.RawModule(code=text, options=options)
        module.compile()
        return module.get_function(KERNEL)
    except Exception as err:
        if device.is_out_of_memory(err):
            raise
        shown = " ".join(f"{name}={value}" for name, value in names)
        raise BackendError(
            f"backend 'cuda': {KERNEL}.cu cannot be compiled ({shown}), a fault of gpustack or of "
            f"this version of CUDA, please report it: {type(err).__name__}: {err}"
        ) from err
