"""Devices that are pretended: the part of CUDA that the stand-in for CuPy stands on.

Memory of a device is memory of the host that numpy does not get at silently. Streams keep
what they are asked to do and do it only when somebody waits for it, or, as `World.eager`
says, at once or at moments drawn by lot: whoever forgets an event computes with garbage. The
kernels are those that g++ built for the host.
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
    """All devices and what happened on them.

    Parameters
    ----------
    devices : int
    capacity : int
        Bytes of memory of each device.
    capabilities : sequence of (major, minor)
        Of the devices; (9, 0) where left out.
    eager : None, "always" or int
        When streams work: when waited for; at once; by lot, from this seed.
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
        #: What the compiler complains of: in the kernels; in anything, by device.
        self.error = None
        self.broken, self.tried = {}, []
        #: Errors that devices raise as soon as they are looked at.
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
        """Something was asked of `stream`: let streams work, or not."""
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
        """Complain of an address that is not in memory of the device, or of bytes beyond it."""
        for start, size, owner in self.live.values():
            if start <= address < start + size:
                assert owner == number, f"memory of device {owner} used on {number}"
                assert address + length <= start + size, "beyond the block"
                return
        raise AssertionError(f"{address:#x} is no memory of a device")


world = None


def use(new):
    """Make a world the one that everything belongs to."""
    global world  # noqa: PLW0603 - CuPy has one state too
    world = new


class _Token:
    """A moment in a stream."""

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
        """Work that nobody waits for: at once where nothing is to be done before it."""
        with self._world.lock:
            if self._waiting:
                self._waiting.append(("array", work))
            else:
                work()

    def step(self):
        """Do the next thing, unless it waits for another stream; whether there was one."""
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
        """Work until a moment is reached, or nothing is left; work for what is waited for."""
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
    """A block on a device, full of garbage."""

    def __init__(self, size, number):
        self.size, self.device_id, self.gone = size, number, False
        self.bytes = np.full(size + 512, GARBAGE, np.uint8)
        self.ptr = -(-self.bytes.ctypes.data // 512) * 512
        world.live[id(self)] = (self.ptr, size, number)
        weakref.finalize(self, world.live.pop, id(self), None)

    def view(self, start, size):
        """Its bytes from an address on."""
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
    """Freed blocks are used again on the stream they came from, or given back when asked.

    Before CuPy 14.1 all blocks are given back with the pool, those in use too.
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
    """Gives its bytes to `numpy.frombuffer`, which keeps it."""

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
