"""A stand-in for the few names of CuPy that gpustack uses; see `fakecuda`."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np

import fakecuda
import fakekernels
from fakecuda import MemoryPool


def install(monkeypatch, **options):
    """Replace CuPy by the stand-in for one test and return its World."""
    world = fakecuda.World(**options)
    fakecuda.use(world)
    monkeypatch.setitem(sys.modules, "cupy", _module(world))
    return world


class ndarray:
    """An array on a device: a numpy array that only `get` copies to the host."""

    __array_ufunc__ = None

    def __init__(self, shape, dtype, memptr, strides=None):
        rest = memptr.mem.ptr + memptr.mem.size - memptr.ptr
        buffer = memptr.mem.view(memptr.ptr, rest)
        self._set(np.ndarray(shape, dtype, buffer, 0, strides), memptr)

    @classmethod
    def of(cls, array, data):
        """Wrap a numpy array that is in memory of a device."""
        new = cls.__new__(cls)
        new._set(array, data)
        return new

    def _set(self, array, data):
        self._array, self.data = array, data
        self.shape, self.dtype, self.strides = array.shape, array.dtype, array.strides
        self.ndim, self.size, self.nbytes = array.ndim, array.size, array.nbytes
        self.flags = SimpleNamespace(c_contiguous=array.flags.c_contiguous)

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    @property
    def device(self):
        return fakecuda.Device(self.data.mem.device_id)

    def _view(self, array):
        offset = array.ctypes.data - self.data.mem.ptr
        return ndarray.of(array, fakecuda.MemoryPointer(self.data.mem, offset, self.data))

    def __len__(self):
        return len(self._array)

    __hash__ = object.__hash__

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        return self._view(self._array[key] if self.ndim > 1 else self._array[key, ...])

    def __setitem__(self, key, values):
        target, source = self._array[key], values._array
        self._do(lambda: np.copyto(target, source))

    def view(self, dtype):
        return self._view(self._array.view(dtype))

    def swapaxes(self, one, other):
        return self._view(self._array.swapaxes(one, other))

    def reshape(self, *shape):
        shape = shape[0] if isinstance(shape[0], tuple) else shape
        array = self._array.reshape(shape)
        if self.size and not np.may_share_memory(array, self._array):
            return self._copied(array.shape, self.dtype)
        return self._view(array)

    def astype(self, dtype, order="K"):
        return self._copied(self.shape, np.dtype(dtype))

    def copy(self):
        return self._copied(self.shape, self.dtype)

    def _copied(self, shape, dtype):
        assert self._array.flags.aligned, "a device cannot read that: misaligned"
        result = empty(shape, dtype)  # on the current device, wherever this array is
        source, target = self._array, result._array
        self._do(lambda: np.copyto(target, source.reshape(shape), casting="unsafe"))
        return result

    def get(self):
        """Return a copy on the host, after waiting for the current stream."""
        stream = fakecuda.world.current(self.device.id)
        stream.synchronize()
        fakecuda.world.log.append((stream, "get"))
        return self._array.copy()

    @staticmethod
    def _do(work):
        fakecuda.world.current().add("array", work)


def _computed(name):
    """A function of numpy that accepts arrays of a device and is computed at once."""

    def compute(*arguments, **more):
        for stream in fakecuda.world.streams:
            stream.synchronize()
        plain = [a._array if isinstance(a, ndarray) else a for a in arguments]
        with np.errstate(all="ignore"):
            return asarray(getattr(np, name)(*plain, **more))

    return compute


for _name in ("any", "sum", "min", "max"):
    setattr(ndarray, _name, _computed(_name))
for _name in (
    *("abs abs", "add add", "sub subtract", "truediv divide", "mul multiply", "rmul multiply"),
    *(
        "ge greater_equal",
        "gt greater",
        "lt less",
        "eq equal",
        "ne not_equal",
        "and bitwise_and",
        "or bitwise_or",
    ),
):
    setattr(ndarray, f"__{_name.split()[0]}__", _computed(_name.split()[1]))


def empty(shape, dtype=float):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = fakecuda.world.pool.malloc(size)
    return ndarray.of(memory.mem.view(memory.ptr, size).view(dtype).reshape(shape), memory)


def asarray(values):
    """Copy a numpy array to the current device, after the pending work of the current stream."""
    values = np.array(values)
    result = empty(values.shape, values.dtype)
    target = result._array
    fakecuda.world.current().follow(lambda: np.copyto(target, values))
    return result


def _module(world):
    world.pool = MemoryPool()
    module = ModuleType("cupy")
    module.__version__ = "14.2.0"
    module.ndarray, module.empty, module.asarray = ndarray, empty, asarray
    module.RawModule, module.float32 = fakekernels.RawModule, np.float32
    for name in (
        *(
            "median",
            "nanmedian",
            "mean",
            "nanmean",
            "where",
            "isfinite",
            "zeros",
            "packbits",
            "sqrt",
        ),
        "maximum",
    ):
        setattr(module, name, _computed(name))
    module.unpackbits = _computed("unpackbits")
    module.get_default_memory_pool = lambda: world.pool
    module.get_default_pinned_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None)
    module.cuda = SimpleNamespace(
        Device=fakecuda.Device,
        Event=fakecuda.Event,
        MemoryPool=MemoryPool,
        PinnedMemory=fakecuda.PinnedMemory,
        PinnedMemoryPointer=fakecuda.PinnedMemoryPointer,
        Stream=fakecuda.Stream,
        alloc=world.pool.malloc,
        alloc_pinned_memory=fakecuda.alloc_pinned_memory,
        get_current_stream=world.current,
        memory=SimpleNamespace(OutOfMemoryError=fakecuda.OutOfMemoryError),
        driver=SimpleNamespace(CUDADriverError=fakecuda.CUDADriverError),
        runtime=_runtime(world),
    )
    return module


def _runtime(world):
    def count():
        if world.devices == 0:
            raise fakecuda.CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device")
        return world.devices

    def properties(number):
        major, minor = world.capabilities[number]
        facts = {"name": b"Pretended", "totalGlobalMem": world.capacity}
        return facts | {"major": major, "minor": minor}

    def memory():
        number = world.device
        world.touched.add(number)
        if number in world.taken:
            raise world.taken[number]
        return world.capacity - world.used[number], world.capacity

    return SimpleNamespace(
        CUDARuntimeError=fakecuda.CUDARuntimeError,
        getDevice=lambda: world.device,
        getDeviceCount=count,
        getDeviceProperties=properties,
        memGetInfo=memory,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13020,
    )
