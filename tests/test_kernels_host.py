"""The kernels built by g++, and the build itself; see also `test_every_recipe`."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hostbuild
from answers import FRAMES
from bands import Cpu
from gpustack.backends.base import Outputs
from gpustack.backends.cuda import abi
from gpustack.clips import ExtremaClip, RangeClip, SigmaClip, siril
from gpustack.recipe import Recipe
from kernels import FLUSHING, KERNELS, HostKernels
from recipes import ROUTES, recipe
from skips import needs_compiler, skip_without
from stacks import outputs, plain, rows_of, run, stack
from tolerances import DECISIONS, MAPS, assert_like_cpu, assert_same_bits

pytestmark = needs_compiler

CPU = Cpu(threads=1)


@pytest.mark.parametrize("n", [64, 65])
@pytest.mark.parametrize("name", ROUTES)
def test_as_many_float64_as_registers_hold_and_one_more(name, n):
    assert n - abi.REGISTER_FRAMES[8] in (0, 1)
    asked = recipe(name, n)
    band = rows_of(stack("f8", n, asked), 0, 1)
    assert_like_cpu(run(KERNELS["staged"], band, asked), run(CPU, band, asked), asked.combine)


@pytest.mark.parametrize("name", ["median", "everything", "raw-sigma-range", "range-replacing"])
def test_options_compiled_in_are_the_options_of_a_launch(name):
    # As for a device, where every recipe is compiled into its own kernel.
    asked = recipe(name, FRAMES)
    band = stack("fits-uint16", FRAMES, asked)
    fixed = run(HostKernels(fixed=True), band, asked)
    assert_same_bits(fixed, run(KERNELS["staged"], band, asked))


def test_the_middle_of_two_near_the_end_of_float64():
    cube = np.array([1.5e308, 1.7e308, -1.7e308, 1.6e308]).reshape(4, 1, 1)
    band = rows_of(plain(np.concatenate([cube, -cube], axis=2)), 0, 1)
    asked = Recipe(combine="median")
    assert_like_cpu(run(KERNELS["staged"], band, asked), run(CPU, band, asked), "median")


def test_no_name_given_builds_a_kernel():
    assert callable(hostbuild.build(fixed=True))


@pytest.mark.parametrize("stack_name", ["masked", "f8", "u2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_working_dtype_that_is_asked_for(stack_name, dtype):
    asked = Recipe(clips=[SigmaClip(1.9, 2.3)], combine="median", dtype=dtype)
    band = stack(stack_name, FRAMES, asked)
    got, want = outputs(band, asked), outputs(band, asked)
    KERNELS["staged"].run(band, asked, got, np.dtype(dtype))
    CPU.run(band, asked, want, np.dtype(dtype))
    assert_like_cpu(got, want, "median")


@pytest.mark.parametrize("output", MAPS)
@pytest.mark.parametrize("name", ["median", "everything", "extrema-all", "raw-weighted"])
def test_one_output_alone_is_the_same(name, output):
    asked = recipe(name, FRAMES)
    band = stack("masked", FRAMES, asked)
    full = run(KERNELS["flat"], band, asked)
    alone = Outputs(**{output: getattr(outputs(band, asked), output)})
    KERNELS["flat"].run(band, asked, alone)
    assert_same_bits(alone, full, (output,))


def test_tallies_alone_are_the_same():
    asked = recipe("everything", FRAMES)
    band = stack("masked", FRAMES, asked)
    full = run(KERNELS["staged"], band, asked)
    alone = Outputs(valid=np.full(FRAMES, 1000), rejected=np.full(FRAMES, 2000))
    KERNELS["staged"].run(band, asked, alone)
    np.testing.assert_array_equal(alone.valid, full.valid + 1000)
    np.testing.assert_array_equal(alone.rejected, full.rejected + 2000)


def test_tallies_of_more_frames_than_have_counters():
    n = 1030
    data = np.random.default_rng(1).normal(100, 8, (n, 1, 3)).astype("f4")
    data[::3, 0, 0] = np.nan
    asked = Recipe(clips=[SigmaClip(1.9, 2.3)], combine="median")
    got = run(KERNELS["staged"], plain(data), asked)
    assert_like_cpu(got, run(CPU, plain(data), asked), "median")


@pytest.mark.parametrize("clips", [[ExtremaClip(2, 1)], [RangeClip(6, 8), ExtremaClip(2, 1)]])
@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
def test_ties_go_by_frame(kernels, clips):
    got = run(kernels, plain(np.full((5, 1, 4), 7, "f4")), Recipe(clips=clips))
    for pixel in range(4):
        assert got.marks[:, 0, pixel].tolist() == [True, True, False, False, True]


def test_quadratures_in_registers_depend_on_no_order_of_frames():
    rng = np.random.default_rng(5)
    data = rng.normal(100, 8, (25, 4, 9)) * 10 ** rng.uniform(-3, 3, (25, 1, 1))
    asked = Recipe(combine="quadrature")
    for kind in ("staged", "flat"):
        one, other = (run(KERNELS[kind], plain(cube), asked) for cube in (data, data[::-1].copy()))
        assert_same_bits(one, other, ("data",))


@pytest.mark.parametrize("bzero", [0.0, 1e-41, 1e-35])
@pytest.mark.parametrize("bscale", [1.0, 1e-39, 1e-20, 1e30])
@pytest.mark.parametrize("kernels", FLUSHING.values(), ids=FLUSHING)
def test_subnormals_of_scaled_floats(kernels, bscale, bzero):
    rng = np.random.default_rng(2)
    data = (10 ** rng.uniform(-44, -36, (6, 4, 9))).astype("f4")
    band = plain(data, bscale=bscale, bzero=bzero)
    for combine in ("min", "median"):
        asked = Recipe(combine=combine)
        got, want = run(kernels, band, asked), run(CPU, band, asked)
        assert_same_bits(got, want, ("data", *DECISIONS))
        if got.uncertainty is not None:
            np.testing.assert_allclose(got.uncertainty, want.uncertainty, rtol=1e-6)


SANITIZED = """
import sys
import time
import numpy as np
import hostbuild
from clip_chains import CHAINS
from gpustack.recipe import Recipe
from kernels import HostKernels
from recipes import ROUTES, recipe
from stacks import run, stack

flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
for n, stack_name in ((6, "mixed-masks"), (6, "fits-uint16"), (66, "f8"), (187, "f8")):
    asked = [recipe(name, n) for name in ROUTES]
    asked += [Recipe(clips=clips) for clips in CHAINS.values()]
    for flat in (False, True):
        for each in asked:
            run(HostKernels(flags=flags, flat=flat), stack(stack_name, n, each), each)
print("clean")
"""


def test_sanitizers_find_nothing():
    # In a separate process, because ASan must be loaded before anything else.
    here = Path(__file__).resolve().parent
    found = subprocess.run(
        [hostbuild.compiler(), "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not Path(found).is_absolute():
        skip_without("libasan, which watches the kernels on the host")
    environment = os.environ | {
        "LD_PRELOAD": found,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SANITIZED],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "clean", done.stderr[-4000:]


def test_the_mirror_of_the_arguments(tmp_path):
    """Sizes and offsets of the structs in abi.h equal those of the dtypes."""
    dtypes = {"Frame": abi.FRAME, "Clip": abi.CLIP, "Out": abi.OUT, "Planes<7>": abi.planes(7)}
    lines = []
    for name, dtype in dtypes.items():
        lines.append(f"static_assert(sizeof({name}) == {dtype.itemsize});")
        for field, (_, offset) in dtype.fields.items():
            lines.append(f"static_assert(__builtin_offsetof({name}, {field}) == {offset});")
    source = tmp_path / "mirror.cpp"
    source.write_text("\n".join(['#include "abi.h"', *lines]))
    command = [hostbuild.compiler(), "-std=c++17", "-fsyntax-only", f"-I{hostbuild.KERNELS}"]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_the_numbers_of_winsorizing_are_those_of_the_clip(tmp_path):
    names = ("CUTOFF", "FACTOR", "SETTLED", "ROUNDS")
    source = tmp_path / "winsor.cpp"
    lines = [
        f"static_assert(WINSOR_{name} == {getattr(siril, f'WINSOR_{name}')!r});" for name in names
    ]
    source.write_text("\n".join(['#include "cuda_shim.h"', '#include "winsor.h"', *lines]))
    folders = [f"-I{folder}" for folder in (hostbuild.KERNELS, hostbuild.SHIM)]
    command = [hostbuild.compiler(), "-std=c++17", "-fsyntax-only", *folders, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_builds_of_other_sources_do_not_pile_up(tmp_path):
    old = time.time() - hostbuild.DAY - 60
    for name, age in {"mine-1.so": old, "other-1.so": old, "other-2.so": time.time()}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    hostbuild.prune(tmp_path, "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine-1.so", "other-2.so"]
