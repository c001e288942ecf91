"""The text of a kernel and the options that it is compiled with."""

import hashlib
from functools import cache
from pathlib import Path

_SUFFIXES = (".cu", ".cuh", ".h")


@cache
def folder() -> Path:
    """The folder of the kernels: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "kernels"
    return inside if inside.is_dir() else package.parent / "kernels"


@cache
def read(name: str) -> str:
    """The source ``NAME.cu``, behind a line that makes the compiler's errors name the file."""
    return f'#line 1 "{name}.cu"\n' + (folder() / f"{name}.cu").read_text()


@cache
def digest() -> str:
    """A hash of all sources.

    CuPy caches compiled kernels on disk under a key made of the source and the options, which
    does not cover the headers. The hash is among the options, so that a change of any header
    compiles the kernel anew.
    """
    total = hashlib.sha256()
    for path in sorted(folder().rglob("*")):
        if path.suffix in _SUFFIXES:
            total.update(path.relative_to(folder()).as_posix().encode() + b"\0")
            total.update(path.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def options(names: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The compiler's options: the language, exact arithmetic, headers, and the -D names."""
    return (
        "-std=c++17",
        "--fmad=false",  # the CPU rounds after each operation
        # Where CuPy caches kernels in memory only, the compiler would look for headers in the
        # working directory first.
        "--no-source-include",
        f"-I{folder()}",
        f"-DSOURCES=0x{digest()}ULL",
        *(f"-D{name}={value}" for name, value in names),
    )
