"""Compile kernels with NVRTC from its wheel, without a GPU, and read the report of ptxas."""

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hostbuild import KERNELS, kept

#: The options that CuPy adds and those of the backend.
OPTIONS = (
    "-ftz=true",
    "-std=c++17",
    "--fmad=false",
    "--device-as-default-execution-space",
    "--ptxas-options=-v",
)


@dataclass(frozen=True)
class Usage:
    """What a kernel uses: registers per thread, bytes of stack, spills and shared memory."""

    registers: int
    stack: int
    spills: int
    shared: int


@cache
def library():
    """The newest NVRTC among the installed wheels, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else ()
    found = [
        path
        for folder in folders
        for pattern in ("cu*/lib/libnvrtc.so.*", "cuda_nvrtc/lib/libnvrtc.so.*")
        for path in Path(folder).glob(pattern)
        if "builtins" not in path.name
    ]
    return ctypes.CDLL(str(max(found, key=lambda path: path.name))) if found else None


def version():
    """The version of NVRTC, as "13.5"."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("Version", ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def compile_kernel(name, arch, defines):
    """Compile ``kernels/<name>.cu`` to machine code of `arch` and return the log.

    The log is cached for these sources and this compiler, because all kernels take minutes.

    Raises
    ------
    RuntimeError
        If the compiler fails; contains its errors.
    """
    options = [f"-arch={arch}", *OPTIONS, *(f"-D{key}={value}" for key, value in defines.items())]
    compiler = Path(library()._name)
    how = (str(compiler), compiler.stat().st_mtime_ns, name, options)
    return kept(how, ".log", lambda path: path.write_text(_compile(name, options))).read_text()


def _compile(name, options):
    """Compile ``kernels/<name>.cu`` and return the log."""
    source = f'#line 1 "{name}.cu"\n' + (KERNELS / f"{name}.cu").read_text()
    return compile_text(source, f"{name}.cu", [*options, f"-I{KERNELS}"])


def compile_text(source, name, options):
    """Compile a program of this name and return the log."""
    program = ctypes.c_void_p()
    _call(
        "CreateProgram",
        ctypes.byref(program),
        source.encode(),
        name.encode(),
        0,
        None,
        None,
    )
    try:
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = library().nvrtcCompileProgram(program, len(options), array)
        size = ctypes.c_size_t()
        _call("GetProgramLogSize", program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        _call("GetProgramLog", program, log)
    finally:
        _call("DestroyProgram", ctypes.byref(program))
    text = log.value.decode()
    if failed:
        raise RuntimeError(f"{' '.join(options)}:\n{text}")
    return text


def _call(name, *arguments):
    failed = getattr(library(), f"nvrtc{name}")(*arguments)
    if failed:
        raise RuntimeError(f"nvrtc{name}: error {failed}")


def usage(log):
    """The `Usage` that ptxas reports of the one kernel of a program."""

    def number(pattern):
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    assert "registers" in log, f"expected a report of ptxas, got {log!r}"
    return Usage(
        registers=number(r"Used (\d+) registers"),
        stack=number(r"(\d+) bytes stack frame"),
        spills=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        shared=number(r"(\d+) bytes smem"),
    )
