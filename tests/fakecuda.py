"""Simulated devices: the part of CUDA on which the stand-in for CuPy is built.

Memory of a device is host memory that numpy cannot access by accident. Streams queue their work
and do it only when something waits for it or, depending on `World.eager`, at once or at random
moments. Code that forgets an event therefore computes with garbage. The kernels are those that
g++ built for the host.
"""

import random
import sys
import threading
import weakref
from collections import deque

import numpy as np

GARBAGE = 0xA5


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text=""):
        super().__init__(text or f"cudaError {status}")
        self.status = status


class CUDADriverError(RuntimeError):
    def __init__(self, status):
        super().__init__(f"CUDA_ERROR {status}")
        self.status = status


class NVRTCError(RuntimeError):
    def __init__(self, status):
        super().__init__(f"NVRTC_ERROR {status}")
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


class World:
    """All devices, and records of what happened on them.

    Parameters
    ----------
    devices : int
    capacity : int
        Bytes of memory of each device.
    capabilities : sequence of (major, minor)
        Of each device; (9, 0) by default.
    eager : None, "always" or int
        When streams do their work: when something waits for it; at once; at random moments
        drawn from this seed.
    """

    def __init__(self, devices=1, capacity=1 << 30, eager=None, capabilities=()):
        self.devices, self.capacity, self.eager = devices, capacity, eager
        self.lock = threading.RLock()
        self.local = threading.local()
        self.used = [0] * devices
        self.live = {}
        self.streams = []
        self.null = [Stream(device=i, world=self) for i in range(devices)]
        self.asked, self.log = [], []
        self.built, self.launched, self.pinned = [], [], {}
        self.capabilities = list(capabilities) or [(9, 0)] * devices
        #: Errors of the compiler: `error` in the kernels, `broken` in any source, by device.
        self.error = None
        self.broken, self.tried = {}, []
        #: Errors that devices raise when their memory is queried, by device.
        self.taken = {}
        self.touched = set()
        self.fail_launches = 0
        self.most_pinned = self.most_used = 0
        self._lot = random.Random(eager)

    @property
    def device(self):
        return getattr(self.local, "device", 0)

    def current(self, number=None):
        number = self.device if number is None else number
        stack = getattr(self.local, "streams", {}).get(number)
        return stack[-1] if stack else self.null[number]

    def turn(self, stream):
        """Let streams work, depending on `eager`, after work was added to `stream`."""
        if self.eager == "always":
            stream.synchronize()
        elif self.eager is not None:
            for _ in range(self._lot.randrange(4)):
                self._lot.choice(self.streams).step()

    def synchronize(self, number):
        for stream in self.streams:
            if stream.device_id == number:
                stream.synchronize()

    def is_pinned(self, address, length):
        return any(
            start <= address and address + length <= start + size
            for start, size in self.pinned.values()
        )

    def check_address(self, address, number, length=1):
        """Assert that `length` bytes from an address on are in one block of the device."""
        for start, size, owner in self.live.values():
            if start <= address < start + size:
                assert owner == number, f"memory of device {owner} used on {number}"
                assert address + length <= start + size, "beyond the block"
                return
        raise AssertionError(f"{address:#x} is no memory of a device")


world = None


def use(new):
    """Make `new` the current world."""
    global world  # noqa: PLW0603 - CuPy has one state too
    world = new


class _Token:
    """A point in the queue of a stream."""

    def __init__(self, stream):
        self.stream, self.done = stream, False


class Stream:
    def __init__(self, non_blocking=False, *, device=None, world=None):
        self._world = world or globals()["world"]
        self.device_id = self._world.device if device is None else device
        self._waiting = deque()
        self._world.streams.append(self)

    def add(self, name, work):
        with self._world.lock:
            self._world.asked.append((self, name))
            self._waiting.append((name, work))
            self._world.turn(self)

    def follow(self, work):
        """Queue work that nothing waits for, or do it at once if the queue is empty."""
        with self._world.lock:
            if self._waiting:
                self._waiting.append(("array", work))
            else:
                work()

    def step(self):
        """Do the next piece of work; return False if there is none or it waits for a stream."""
        with self._world.lock:
            if not self._waiting:
                return False
            name, work = self._waiting[0]
            if isinstance(work, _Token):
                if work.stream is not self and not work.done:
                    return False
                work.done |= work.stream is self
                self._waiting.popleft()
                return True
            self._waiting.popleft()
            self._world.log.append((self, name))
            work()
            return True

    def run_until(self, token=None):
        """Work until `token` is reached or the queue is empty; run other streams if needed."""
        with self._world.lock:
            while self._waiting and not (token is not None and token.done):
                if not self.step():
                    awaited = self._waiting[0][1]
                    awaited.stream.run_until(awaited)

    def synchronize(self):
        self.run_until()

    def wait_event(self, event):
        if event.token is not None:
            self.add("wait", event.token)

    def __enter__(self):
        assert self.device_id == self._world.device, "a stream of another device"
        stacks = self._world.local.__dict__.setdefault("streams", {})
        stacks.setdefault(self.device_id, []).append(self)
        return self

    def __exit__(self, *_):
        self._world.local.streams[self.device_id].pop()


class Event:
    def __init__(self, *, block=False, disable_timing=False):
        self.token = None

    def record(self, stream=None):
        stream = stream or world.current()
        self.token = _Token(stream)
        stream.add("record", self.token)

    def synchronize(self):
        if self.token is not None:
            self.token.stream.run_until(self.token)


class Device:
    def __init__(self, number=None):
        self.id = world.device if number is None else number
        self.attributes = {"MultiProcessorCount": 2}

    def __enter__(self):
        stack = world.local.__dict__.setdefault("devices", [])
        stack.append(world.device)
        world.local.device = self.id
        return self

    def __exit__(self, *_):
        world.local.device = world.local.devices.pop()


class Memory:
    """A block of device memory, filled with garbage."""

    def __init__(self, size, number):
        self.size, self.device_id, self.gone = size, number, False
        self.bytes = np.full(size + 512, GARBAGE, np.uint8)
        self.ptr = -(-self.bytes.ctypes.data // 512) * 512
        world.live[id(self)] = (self.ptr, size, number)
        weakref.finalize(self, world.live.pop, id(self), None)

    def view(self, start, size):
        """The `size` bytes of the block from an address on."""
        begin = start - self.bytes.ctypes.data
        assert not self.gone, "its pool is gone, and all memory with it"
        assert self.ptr <= start <= start + size <= self.ptr + self.size, "beyond the block"
        return self.bytes[begin : begin + size]


class MemoryPointer:
    def __init__(self, mem, offset, keep=None):
        self.mem, self.ptr, self._keep = mem, mem.ptr + offset, keep

    def __add__(self, offset):
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset, self._keep)

    def copy_from_host_async(self, address, size, stream=None):
        assert world.is_pinned(address, size), "it may be free before it is read"
        source = host(address, size)
        target = self.mem.view(self.ptr, size)
        (stream or world.current()).add("up", lambda: np.copyto(target, source))

    def copy_from_device_async(self, other, size, stream=None):
        source, target = other.mem.view(other.ptr, size), self.mem.view(self.ptr, size)
        (stream or world.current()).add("copy", lambda: np.copyto(target, source))

    def copy_to_host_async(self, address, size, stream=None):
        source, target = self.mem.view(self.ptr, size), host(address, size)
        stream = stream or world.current()
        stream.add("down", lambda: np.copyto(target, source))
        if not world.is_pinned(address, size):
            stream.synchronize()

    def memset_async(self, value, size, stream=None):
        target = self.mem.view(self.ptr, size)
        (stream or world.current()).add("memset", lambda: target.fill(value))


def host(address, size):
    return np.ctypeslib.as_array((np.ctypeslib.ctypes.c_ubyte * size).from_address(address))


class MemoryPool:
    """A pool that reuses freed blocks on their stream, and returns them to the device on request.

    When the pool is destroyed, all its blocks are freed, even those in use, as before CuPy 14.1.
    """

    def __init__(self):
        self._limits, self._held, self._free, self._made = {}, {}, [], weakref.WeakSet()
        weakref.finalize(self, _give_back, self._made)

    def set_limit(self, size=None):
        self._limits[world.device] = size

    def get_limit(self):
        return self._limits.get(world.device) or 0

    def malloc(self, size):
        size = max(-(-size // 512) * 512, 512)
        number, stream = world.device, world.current()
        with world.lock:
            for i, (mem, owner) in enumerate(self._free):
                if (mem.size, owner) == (size, stream):
                    del self._free[i]
                    return self._lend(mem, stream)
            held = self._held.get(number, 0)
            over = held + size > (self._limits.get(number) or sys.maxsize)
            if over or world.used[number] + size > world.capacity:
                raise OutOfMemoryError(f"{size} bytes, {held} are held")
            self._held[number] = held + size
            world.used[number] += size
            world.most_used = max(world.most_used, *world.used)
            made = Memory(size, number)
            self._made.add(made)
            return self._lend(made, stream)

    def _lend(self, mem, stream):
        loan = _Loan()
        weakref.finalize(loan, self._free.append, (mem, stream))
        return MemoryPointer(mem, 0, loan)

    def free_all_blocks(self):
        with world.lock:
            world.synchronize(world.device)
            for mem, owner in list(self._free):
                if mem.device_id == world.device:
                    self._free.remove((mem, owner))
                    mem.bytes.fill(GARBAGE)
                    self._held[mem.device_id] -= mem.size
                    world.used[mem.device_id] -= mem.size


def _give_back(blocks):
    for mem in blocks:
        mem.gone = True
        mem.bytes.fill(GARBAGE)


class _Loan:
    pass


class PinnedMemory:
    def __init__(self, size, flags=0):
        self.size = size


class PinnedMemoryPointer(bytearray):
    """Pinned memory that `numpy.frombuffer` accepts and keeps alive."""

    def __new__(cls, mem, offset):
        return super().__new__(cls, mem.size)

    def __init__(self, mem, offset):
        super().__init__(GARBAGE.to_bytes() * mem.size)
        address = np.frombuffer(self, np.uint8).ctypes.data
        world.pinned[id(self)] = (address, mem.size)
        world.most_pinned = max(world.most_pinned, sum(s for _, s in [*world.pinned.values()]))
        weakref.finalize(self, world.pinned.pop, id(self), None)


def alloc_pinned_memory(size):
    assert size & (size - 1) == 0, "the pool would round this up"
    return PinnedMemoryPointer(PinnedMemory(size), 0)
