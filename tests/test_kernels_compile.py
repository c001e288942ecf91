"""The kernels compile for every architecture without spills, stack frames or more registers."""

import json

import pytest

import nvrtc
import registers
from gpustack.backends.cuda import source
from skips import missing

pytestmark = pytest.mark.skipif(
    nvrtc.library() is None and missing("NVRTC (pip install nvidia-cuda-nvrtc)"),
    reason="there is no NVRTC to compile the kernels with (pip install nvidia-cuda-nvrtc)",
)
RECORD = json.loads(registers.TABLE.read_text())
SIMPLE, *CLIPPED = registers.EVERYWHERE


def some_of(arch):
    """The cases compiled again for an architecture: the simple one, and one of the long ones.

    Each long case is compiled for two or three architectures. Every case was compiled when the
    table was written.
    """
    return SIMPLE, CLIPPED[registers.ARCHES.index(arch) % len(CLIPPED)]


def test_the_table_was_made_of_these_kernels():
    assert RECORD["made of"] == registers.made_of(), (
        "kernels, shapes or options have changed since kernels/registers.json was written: run "
        "python tests/registers.py, and see in its diff what that costs"
    )


def test_the_table_has_every_case_of_every_architecture():
    names = {
        arch: [registers.name_of(one) for one in registers.cases(arch)] for arch in registers.ARCHES
    }
    assert {arch: list(found) for arch, found in RECORD["registers"].items()} == names


@pytest.mark.parametrize("arch", registers.ARCHES)
def test_nothing_spills_and_registers_stay(arch):
    allowed = RECORD["registers"][arch]
    # The table holds only for the compiler version with which it was made.
    same = nvrtc.version() == RECORD["nvrtc"]
    for name, usage in registers.measure(arch, some_of(arch)).items():
        assert not same or usage.registers <= allowed[name], (
            f"{name}: expected at most {allowed[name]} registers, got {usage.registers}"
        )


def test_a_kernel_compiles_with_no_name_given():
    usage = nvrtc.usage(nvrtc.compile_kernel("combine", "sm_90", {}))
    assert (usage.spills, usage.stack) == (0, 0)


def test_headers_in_the_working_directory_are_not_taken(monkeypatch, tmp_path):
    """With CUPY_CACHE_IN_MEMORY a program has no folder, so the working directory is searched."""
    for path in source.folder().glob("*.h"):
        (tmp_path / path.name).write_text(f"#error {path.name} of the working directory")
    monkeypatch.chdir(tmp_path)
    options = source.options((("N", "4"), ("CLIPPED", "0"), ("BLOCK", "128")))
    log = nvrtc.compile_text(source.read("combine"), "", ("-arch=sm_90", *options))
    assert "error" not in log


def test_an_error_names_file_and_line():
    with pytest.raises(RuntimeError, match=r"combine\.cu\(\d+\): error"):
        nvrtc.compile_kernel("combine", "sm_90", {"put_real": "8"})
