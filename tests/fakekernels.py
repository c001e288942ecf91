"""The stand-in for CuPy's RawModule: runs kernels that g++ built for the host."""

import numpy as np

import fakecuda
import hostbuild
from gpustack.backends.cuda import abi

ARGUMENTS = ("u8", "i4", "u8", "i4", "i4", "i8", "i8")


class CompileException(Exception):
    pass


def _compile(code, options):
    """Build for the host the source and options that a device's compiler would receive."""
    assert code.startswith('#line 1 "')
    assert "--fmad=false" in options
    assert any(option.startswith("-DSOURCES=") for option in options)
    names = dict(option[2:].split("=", 1) for option in options if option.startswith("-D"))
    del names["SOURCES"]
    if fakecuda.world.error is not None:
        raise CompileException(fakecuda.world.error)
    fakecuda.world.built.append((fakecuda.world.device, names))
    run = hostbuild.build(names)
    itemsize = {"float": 4, "double": 8}[names["REAL"]]
    run.held = abi.held_frames(int(names["N"]), itemsize)
    kinds = {text: int(kind[1:]) for kind, text in abi.STORED.items()}
    run.block = int(names["BLOCK"])
    run.sizes = {"data": kinds[names["STORED"]], "mask": 1, "weight": 8, "variance": 8}
    real = kinds[names["OUT"]]
    run.maps = {"data": real, "uncertainty": real, "mask": 1, "count": 4, "low": 4, "high": 4}
    return run


class RawModule:
    def __init__(self, *, code, options):
        self._code, self._options, self._run = code, options, None

    def compile(self):
        fakecuda.world.tried.append(fakecuda.world.device)
        if fakecuda.world.device in fakecuda.world.broken:
            raise fakecuda.world.broken[fakecuda.world.device]
        if "nothing()" in self._code:
            return
        self._run = _compile(self._code, self._options)

    def get_function(self, name):
        assert name == "combine"
        if self._run is None:
            self.compile()
        return _Kernel(self._run, fakecuda.world.device)


class _Kernel:
    def __init__(self, run, number):
        self._run, self._device = run, number

    def __call__(self, grid, block, args):
        number = fakecuda.world.device
        assert number == self._device, "a kernel of another device"
        *plain, out, planes = args
        kinds = tuple(argument.dtype.str[1:] for argument in plain)
        assert kinds == ARGUMENTS, f"expected {ARGUMENTS}, got {kinds}"
        assert (out.dtype, out.size) == (abi.OUT, 1)
        assert (planes.dtype, planes.size) == (abi.planes(self._run.held), 1)
        assert 1 <= block[0] <= self._run.block, "more threads than have room in shared memory"
        if fakecuda.world.fail_launches:
            fakecuda.world.fail_launches -= 1
            raise fakecuda.CUDARuntimeError(2, "cudaErrorMemoryAllocation: out of memory")
        args = (*plain, out.copy(), planes.copy())

        def work():
            self._check(args, number)
            self._check_clips(*args[:4], number)
            self._run(grid, block, args)
            fakecuda.world.launched.append((number, int(args[5])))

        fakecuda.world.current().add("kernel", work)

    def _check_clips(self, frames, n, clips, nclips, number):
        table = fakecuda.host(int(clips), int(nclips) * abi.CLIP.itemsize).view(abi.CLIP)
        if np.any(table["spread"] == abi.SPREAD_VARIANCE):
            given = fakecuda.host(int(frames), int(n) * abi.FRAME.itemsize).view(abi.FRAME)
            assert given["variance"].all(), "a clip looks at variances that a frame has not"
        for address in table["table"][table["table"] != 0].tolist():
            assert address % 8 == 0, "a table that a device cannot read: misaligned"
            fakecuda.world.check_address(address, number)

    def _check(self, args, number):
        frames, n, _, _, _, pixels, width, out, _ = args
        n, pixels, width = int(n), int(pixels), int(width)
        table = fakecuda.host(int(frames), n * abi.FRAME.itemsize).view(abi.FRAME)
        for name, size in self._run.sizes.items():
            used = table[table[name] != 0]
            begins, strides = used[name].astype("i8"), used[f"{name}_stride"]
            for step in (begins, strides):
                assert not np.any(step % size), f"{name} that a device cannot read: misaligned"
            for begin, stride in zip(begins.tolist(), strides.tolist(), strict=True):
                for start in (begin, begin + (pixels // width - 1) * stride):
                    fakecuda.world.check_address(start, number, width * size)
        lengths = {name: size * pixels for name, size in self._run.maps.items()}
        lengths |= {"reasons": n * pixels, "invalid": 8 * n, "rejected": 8 * n}
        for name, length in lengths.items():
            if out[0][name]:
                fakecuda.world.check_address(int(out[0][name]), number, length)
