"""Detect whether CUDA can be used, and report why if it cannot."""

import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest

from fakecuda import CUDADriverError, CUDARuntimeError, NVRTCError
from gpustack import backends
from gpustack.backends.cuda import device, source
from gpustack.errors import BackendError, InputError

OLD_DRIVER, NO_DEVICE, BROKEN = 35, 100, 999


def cupy_with(monkeypatch, *, count=1, status=None, driver=13000):
    """Replace CuPy by a module that has only a runtime with these properties."""

    def devices():
        if status is not None:
            raise CUDARuntimeError(status, f"cudaError {status}")
        return count

    runtime = SimpleNamespace(
        getDeviceCount=devices, driverGetVersion=lambda: driver, runtimeGetVersion=lambda: 13020
    )
    module = ModuleType("cupy")
    module.cuda = SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", module)


LACKING = {
    "no driver": ({"status": OLD_DRIVER, "driver": 0}, "no NVIDIA driver is installed"),
    "old driver": (
        {"status": OLD_DRIVER, "driver": 12040},
        r"driver is too old: it supports CUDA 12\.4, CuPy here was built for CUDA 13\.2; update"
        r".*gpustack\[cuda13\].*gpustack\[cuda12\]",
    ),
    "no device": ({"status": NO_DEVICE}, "no CUDA device: expected at least one, got none"),
    # CuPy 13 and 14 raise an error instead; a count of 0 is handled too.
    "counts none": ({"count": 0}, "no CUDA device: .*CUDA_VISIBLE_DEVICES"),
    "broken": ({"status": BROKEN}, "CUDA cannot be initialised: CUDARuntimeError: cudaError 999"),
}


@pytest.mark.parametrize(("facts", "match"), LACKING.values(), ids=LACKING)
def test_what_is_missing_is_said(monkeypatch, facts, match):
    cupy_with(monkeypatch, **facts)
    with pytest.raises(
        BackendError, match=f"backend 'cuda' cannot be used on this machine: .*{match}"
    ):
        backends.get("cuda")
    assert backends.get("auto").name == "cpu"


def test_without_cupy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    match = r"CuPy is not installed: pip install 'cupy-cuda13x\[ctk\]'.*gpustack\[cuda12\]"
    with pytest.raises(BackendError, match=match):
        backends.get("cuda")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (
            "import a_library_of_cupy",
            "CuPy is installed, but its dependency a_library_of_cupy is missing",
        ),
        ("raise ImportError('libnvrtc.so.13')", r"imported: ImportError: libnvrtc\.so\.13"),
        ("raise ValueError('numpy.dtype size changed')", "imported: ValueError: numpy.dtype size"),
        ("import numpy; numpy.no_such_name", "cannot be imported: AttributeError: .*no_such_name"),
    ],
)
def test_a_cupy_that_cannot_be_imported(monkeypatch, tmp_path, body, match):
    (tmp_path / "cupy.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(BackendError, match=match):
        backends.get("cuda")
    assert backends.get("auto").name == "cpu"


def test_a_limit_in_the_environment_is_blamed_by_its_name(monkeypatch, pretend):
    pretend()
    monkeypatch.setenv("GPUSTACK_DEVICE_MEMORY", "8 gigs")
    with pytest.raises(InputError, match=r"GPUSTACK_DEVICE_MEMORY: expected .*got '8 gigs'"):
        backends.get("cuda")


def test_auto_says_what_it_took_and_why(monkeypatch, pretend, caplog):
    caplog.set_level(logging.DEBUG, "astropy.gpustack")
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert backends.get().name == "cpu"
    assert "backend auto: cpu (CuPy is not installed" in caplog.text
    pretend()
    assert backends.get().name == "cuda"
    assert "backend auto: cuda" in caplog.text
    assert backends.get("cpu").name == "cpu"


def test_a_device_that_cannot_compile_is_not_taken(pretend, caplog):
    caplog.set_level(logging.DEBUG, "astropy.gpustack")
    why = "Failed to find CUDA headers"
    world = pretend()
    world.broken = {0: RuntimeError(why)}
    assert backends.get().name == "cpu"
    assert (
        f"backend auto: cpu (Pretended (1 GiB, sm_90) cannot compile kernels: RuntimeError: {why}"
        in (caplog.text)
    )
    with pytest.raises(
        BackendError, match=f"cannot be used on this machine: .* cannot compile kernels: .*{why}"
    ):
        backends.get("cuda")
    world.broken = {}
    assert backends.get("cuda").name == "cuda"
    assert backends.get().name == "cuda"
    assert world.tried == [0, 0, 0], "it is tried once where it works"


def test_a_device_that_cannot_be_queried_is_not_taken(monkeypatch, pretend):
    """As after an illegal access, which all later calls of the process report."""
    pretend()

    def fail(number):
        raise CUDARuntimeError(700, "cudaErrorIllegalAddress")

    monkeypatch.setattr(device.cupy().cuda.runtime, "getDeviceProperties", fail)
    assert backends.get().name == "cpu"
    match = "device 0 cannot be queried: CUDARuntimeError: cudaErrorIllegalAddress"
    assert match in backends.report()[1].detail
    with pytest.raises(BackendError, match=match):
        backends.get("cuda")


def test_one_device_that_compiles_is_enough(pretend):
    world = pretend(devices=2)
    world.broken = {0: CUDARuntimeError(46, "cudaErrorDevicesUnavailable")}
    assert backends.get().name == "cuda"
    assert world.tried == [0, 1]


def test_devices_that_are_too_old_are_left_out(pretend, caplog):
    caplog.set_level(logging.DEBUG, "astropy.gpustack")
    pretend(devices=3, capabilities=[(7, 0), (7, 5), (12, 0)])
    assert backends.get("cuda")._devices == [1, 2]
    assert "sm_70) is not used: compute capability 7.5 or more is needed" in caplog.text
    assert "sm_70" not in backends.report()[1].detail
    pretend(devices=2, capabilities=[(6, 1), (7, 0)])
    assert backends.get().name == "cpu"
    match = r"compute capability 7\.5 or more, got .*sm_61.*sm_70"
    with pytest.raises(BackendError, match=match):
        backends.get("cuda")


def test_the_report_names_the_devices(monkeypatch, pretend):
    pretend(devices=2, capacity=3 << 30)
    cuda = backends.report()[1]
    assert cuda.usable
    name = "Pretended (3 GiB, sm_90)"
    assert cuda.detail == f"{name}, {name}; CuPy 14.2.0, CUDA 13.2, driver for CUDA 13.0"
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert not backends.report()[1].usable


def test_cupy_arrays_are_not_for_the_cpu():
    with pytest.raises(InputError, match="backend 'cpu' needs numpy arrays, got cupy arrays"):
        backends.get("cpu", resident=True)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_cupy_arrays_never_go_to_the_cpu_unasked(monkeypatch, pretend, name):
    assert pretend() is not None
    assert backends.get(name, resident=True).name == "cuda"
    cupy_with(monkeypatch, **LACKING["old driver"][0])
    match = "frames: cupy arrays need backend 'cuda', which .*: the NVIDIA driver is too old"
    with pytest.raises(BackendError, match=match):
        backends.get(name, resident=True)


def test_only_cupy_arrays_are_recognised_as_such(pretend):
    assert not device.is_array([1.0])
    pretend()
    assert device.is_array(device.cupy().empty((2, 2)))
    assert not device.is_array([1.0])


def test_what_out_of_memory_is(pretend):
    pretend()
    assert device.is_out_of_memory(device.cupy().cuda.memory.OutOfMemoryError("full"))
    assert device.is_out_of_memory(CUDARuntimeError(2))
    assert device.is_out_of_memory(CUDADriverError(2))
    assert not device.is_out_of_memory(NVRTCError(2))  # the program cannot be created
    assert not device.is_out_of_memory(CUDARuntimeError(700))
    assert not device.is_out_of_memory(MemoryError())


def test_the_options_change_with_any_source(monkeypatch, tmp_path):
    options = source.options((("N", "5"), ("STORED", "unsigned char")))
    assert options[-2:] == ("-DN=5", "-DSTORED=unsigned char")
    assert {"-std=c++17", "--fmad=false", f"-I{source.folder()}"} <= set(options)
    before = source.digest()
    for path in source.folder().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(source, "folder", lambda: tmp_path)
    source.digest.cache_clear()
    assert source.digest() == before
    with (tmp_path / "load.h").open("a") as file:
        file.write("// changed\n")
    source.digest.cache_clear()
    assert source.digest() != before
    source.digest.cache_clear()


def test_the_compiler_is_told_the_name_of_the_file():
    assert source.read("combine").startswith('#line 1 "combine.cu"\n//')
