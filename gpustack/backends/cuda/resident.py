"""Run a recipe on samples that are on a device already.

Nothing is copied to the host or waited for, but for tallies of frames where they are wanted.
Kernels run on the caller's current stream. Scratch memory comes from CuPy's current allocator,
which reuses freed memory only on the stream that it was allocated on; so scratch may be freed
while a kernel that uses it has still to run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import abi, device
from gpustack.backends.cuda.launch import Job, Kernels, common_dtype
from gpustack.backends.cuda.staging import MAPS, add_tally
from gpustack.errors import InputError, MemoryLimitError, OutOfMemoryError
from gpustack.recipe import Recipe

#: What the scratch memory of some rows holds, in words.
_SCRATCH = "copies of arrays whose layout kernels cannot read, and reasons of rejections"


def is_resident(out: Outputs) -> bool:
    """Whether the wanted outputs are cupy arrays."""
    return any(device.is_array(getattr(out, name)) for name in MAPS)


def run_resident(
    band: Sequence[Samples],
    recipe: Recipe,
    out: Outputs,
    real: np.dtype[Any],
    kernels: Kernels,
    limit: int | None,
) -> None:
    """Run `recipe` on cupy arrays.

    Parameters
    ----------
    band : sequence of Samples
        Cupy arrays that are all on one device.
    out : Outputs
        C-contiguous cupy arrays on that device. Only the tallies of frames are numpy arrays:
        they come to the host where they are wanted.
    limit : int or None
        The most bytes for copies, on the device, of arrays whose layout kernels cannot read,
        and for the reasons of all samples where a clip needs them. None = no limit.

    Raises
    ------
    InputError
        Where frames, masks, weights and outputs are not all on one device.
    MemoryLimitError, OutOfMemoryError
        Where not even one row fits in the limit or in the free memory.
    """
    number = _one_device(band, out)
    stored = common_dtype([samples.data.dtype for samples in band], real)
    job = Job(recipe, len(band), real, stored, out)
    rows = band[0].data.shape[0]
    with device.cupy().cuda.Device(number):
        step = rows if limit is None else _fitting_rows(band, job, limit)
        start = 0
        while start < rows:
            stop = min(start + step, rows)
            part, results = _cut_rows(band, start, stop), out.rows(start, stop)
            part_job = replace(job, recipe=recipe.rows(start, stop))
            problem = _try_rows(part, part_job, results, kernels)
            if problem is None:
                start = stop
                continue
            if step == 1:
                raise OutOfMemoryError(
                    f"device memory: expected room for one row of all frames ({_SCRATCH}), "
                    f"got less: {problem}"
                )
            step = max(min(step, rows) // 2, 1)
            device.free_unused()


def _one_device(band: Sequence[Samples], out: Outputs) -> int:
    """The one device that all arrays are on. InputError where they are on several."""

    def devices(arrays: Iterable[Any]) -> list[int]:
        return sorted({int(array.device.id) for array in arrays if array is not None})

    found = devices(samples.data for samples in band)
    if len(found) > 1:
        raise InputError(f"frames: expected all on one device, got them on {found}")
    for what, arrays in (
        ("masks", [samples.mask for samples in band]),
        ("weights", [samples.weight for samples in band]),
        ("outputs", [getattr(out, name) for name in MAPS]),
    ):
        if devices(arrays) not in ([], found):
            raise InputError(
                f"{what}: expected all on device {found[0]}, where the frames are, got them on "
                f"{devices(arrays)}"
            )
    return found[0]


def _fitting_rows(band: Sequence[Samples], job: Job, limit: int) -> int:
    """The most rows whose copies, and reasons where needed, fit in `limit` bytes.

    MemoryLimitError where not even one row does.
    """
    width = max(band[0].data.shape[1], 1)
    row = width * sum(
        _copied_bytes(getattr(samples, name), dtype)
        for samples in band
        for name, dtype in job.kinds.items()
    )
    rows, reasons = int(band[0].data.shape[0]), width * job.n
    wanted = job.wanted.reasons is not None
    if (job.recipe.clips_by_frame and not wanted) or (wanted and rows * row > limit):
        row += reasons
    if row > limit:
        raise MemoryLimitError(
            f"device memory: expected room for one row of all frames, {row:,} bytes ({_SCRATCH}), "
            f"got {limit:,} bytes"
        )
    return limit // row if row else rows


def _cut_rows(band: Sequence[Samples], start: int, stop: int) -> list[Samples]:
    def part(array: Any) -> Any:
        return None if array is None else array[start:stop]

    names = ("data", "mask", "weight", "variance")
    return [replace(s, **{name: part(getattr(s, name)) for name in names}) for s in band]


def _try_rows(band: Sequence[Samples], job: Job, out: Outputs, kernels: Kernels) -> str | None:
    """Run some rows; where memory runs out, return the message of the error.

    The error itself is not returned: by its traceback, it would hold copies made before it.
    """
    try:
        _run_rows(band, job, out, kernels)
    except Exception as err:
        if not device.is_out_of_memory(err):
            raise
        return str(err)
    return None


def _run_rows(band: Sequence[Samples], job: Job, out: Outputs, kernels: Kernels) -> None:
    """Start the kernel for some rows, and fetch the tallies where they are wanted."""
    reasons = out.reasons
    if reasons is None and job.recipe.clips_by_frame:
        shape = (job.n, *band[0].data.shape)
        out = replace(out, reasons=device.cupy().empty(shape, np.uint8))
    elif reasons is not None and not reasons.flags.c_contiguous:  # some rows of all frames
        out = replace(out, reasons=device.cupy().empty(reasons.shape, reasons.dtype))
    call = Call(band, job, out, kernels)
    call.launch()
    if reasons is not None and reasons is not out.reasons:
        reasons[...] = out.reasons  # type: ignore[assignment]
    if job.wants_tallies:
        call.fetch_tallies(out)


class Call:
    """A kernel that is ready to be launched on some rows, with the scratch memory it needs.

    Parameters
    ----------
    band : sequence of Samples
        Cupy arrays on the current device.
    job : Job
    out : Outputs
        C-contiguous cupy arrays of the same rows.
    kernels : Kernels
    """

    def __init__(self, band: Sequence[Samples], job: Job, out: Outputs, kernels: Kernels) -> None:
        cuda = device.cupy().cuda
        self._n = job.n
        self._band = band = [_laid_out(samples, job) for samples in band]
        shape = band[0].data.shape
        self._pixels = shape[0] * shape[1]
        records = _records(band, job)
        table_bytes = records.nbytes + job.clip_bytes
        self._counts = 2 * 8 * job.n if job.wants_tallies else 0
        self._memory = cuda.alloc(table_bytes + self._counts)
        address = int(self._memory.ptr)
        clip_table = address + records.nbytes
        tables = np.concatenate([records.view(np.uint8), job.clip_table(clip_table, 0)])
        # CuPy uploads arrays from pinned memory of its own, which it keeps until the copy is done.
        # For memory that is not pinned, nothing tells when it may be freed.
        staged = device.cupy().asarray(tables)
        self._memory.copy_from_device_async(staged.data, tables.nbytes)
        self._tallies = self._memory + table_bytes
        record = _addresses(out, job, int(self._tallies.ptr))
        self._run = kernels.prepare(job, records, address, clip_table, record, shape)

    def launch(self) -> None:
        """Launch the kernel on the current stream."""
        if self._counts:
            self._tallies.memset_async(0, self._counts)
        self._run()

    def fetch_tallies(self, out: Outputs) -> None:
        """Wait for the kernel, and add its tallies of frames to `out`."""
        found = np.empty((2, self._n), np.uint64)
        stream = device.cupy().cuda.get_current_stream()
        self._tallies.copy_to_host_async(found.ctypes.data, self._counts, stream)
        stream.synchronize()
        for name, values in zip(("invalid", "rejected"), found, strict=True):
            add_tally(out, name, values, self._pixels)


def _records(band: Sequence[Samples], job: Job) -> Any:
    """The table of the frames, with the addresses and strides of their arrays."""
    records = job.records(band)
    for name in job.kinds:
        arrays = [getattr(samples, name) for samples in band]
        records[name] = [0 if array is None else array.data.ptr for array in arrays]
        records[f"{name}_stride"] = [0 if a is None else a.strides[0] for a in arrays]
    return records


def _is_readable(array: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a kernel can read an array as it is; True for None.

    There may be gaps between rows, but not between the samples of a row. Each sample has to begin
    at a multiple of its size, else the device faults.
    """
    if array is None:
        return True
    return bool(array.dtype == dtype and array.strides[-1] == dtype.itemsize and _is_aligned(array))


def _is_aligned(array: Any) -> bool:
    """Whether all samples begin at multiples of their size."""
    steps = (int(array.data.ptr), *array.strides)
    return all(step % array.dtype.itemsize == 0 for step in steps)


def _copied(array: Any, dtype: np.dtype[Any]) -> Any:
    """A copy that a kernel can read.

    CuPy's own kernels cannot read unaligned samples either, so their bytes are copied.
    """
    if not _is_aligned(array):
        shape, strides = (*array.shape, array.dtype.itemsize), (*array.strides, 1)
        each = device.cupy().ndarray(shape, np.uint8, array.data, strides).copy()
        array = each.view(array.dtype).reshape(array.shape)
    return array if _is_readable(array, dtype) else array.astype(dtype, order="C")


def _copied_bytes(array: Any, dtype: np.dtype[Any]) -> int:
    """The bytes that the copies of a sample take together; 0 where a kernel can read the array."""
    if _is_readable(array, dtype):
        return 0
    unaligned = 0 if _is_aligned(array) else int(array.dtype.itemsize)
    return unaligned + dtype.itemsize * (not unaligned or array.dtype != dtype)


def _laid_out(samples: Samples, job: Job) -> Samples:
    """Samples that a kernel can read: copies on the device of the arrays that it cannot."""
    copies = {}
    for name, dtype in job.kinds.items():
        array = getattr(samples, name)
        if not _is_readable(array, dtype):
            copies[name] = _copied(array, dtype)
    return replace(samples, **copies)


def _addresses(out: Outputs, job: Job, tallies: int) -> Any:
    """The record of the addresses of all outputs and of the two tallies of frames."""
    record = np.zeros(1, abi.OUT)
    for name in MAPS:
        array = getattr(out, name)
        if array is not None:
            record[name] = array.data.ptr
    if job.wants_tallies:
        record["invalid"], record["rejected"] = tallies, tallies + 8 * job.n
    return record
