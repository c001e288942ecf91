"""Every backend and kernel, with every recipe and every kind of stack, against the oracle.

The kernels, built by g++, are also compared with the CPU backend: masks, counts, medians, minima
and maxima must agree bit for bit. The code that nvcc generates is not tested here.

One test runs one recipe on all its stacks. All tests are in this file because they share cached
answers.
"""

import pytest

from answers import CPU, FRAMES, by_cpu, fits, on, samples, share, solved, stacks_of
from kernels import FLUSHING, KERNELS
from recipes import RECIPES, ROUTES, recipe
from skips import needs_compiler
from stacks import TIED, VALUES, run
from tolerances import assert_agrees, assert_like_cpu

#: Numbers of frames: few, around the widths of vectors and sorting networks, and a whole night.
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 25, 40, 130)
#: Backends that run code tested elsewhere, with other tiles or on simulated devices. How rows are
#: cut hardly depends on the number of frames or on values, and kernels are tested with all of them
#: below. So each recipe gets only a fraction of the stacks here.
CUT = ("cpu-small-tiles", "cuda-stand-in")
CUT_COUNTS = (1, 2, 5, 40)
CUT_SHARE = 3
#: The most frames that fit in registers (128 float32), more than twice as many, and more than fit
#: in shared memory.
MOST = (128, 301, 400)
#: Stacks for tests of any number of frames: a recipe gets one of them, its neighbours the other.
OF_ANY_NUMBER = ("mixed-masks", "ties")
#: Every dtype of samples needs another build. The first are stacks of few dtypes, for kernels that
#: read samples again; the second are stacks with values that a device may flush to zero.
FEW_TYPES = ("masked", "fits-uint16", "mixed-masks", "infinite", "subnormal", "ties", "f8")
SUBNORMAL = ("subnormal", "huge-range", "zeros", "fits-scaled")
#: Recipes whose result has the dtype of the samples; any other needs a build for every n.
OWN_TYPE = [name for name in RECIPES if not recipe(name, FRAMES).dtype]


def agrees(backend, name, stack_name, n):
    """Assert that the answer of a backend is that of the oracle, within the contract."""
    asked = recipe(name, n)
    with on(n, "frames of", stack_name):
        if backend is CPU:
            got = by_cpu(name, stack_name, n)
        else:
            got = run(backend, samples(name, stack_name, n), asked)
        assert_agrees(got, solved(name, stack_name, n), asked.combine, ties=stack_name in TIED)


def like_cpu(kernels, name, stack_name, n):
    """Assert that kernels decide as the CPU backend does, bit for bit, and agree with the oracle.

    For many frames the oracle is slow, and only the recipes of `ROUTES` are compared with it.
    """
    asked = recipe(name, n)
    with on(n, "frames of", stack_name):
        got = run(kernels, samples(name, stack_name, n), asked)
        assert_like_cpu(got, by_cpu(name, stack_name, n), asked.combine)
        if n <= 40 or name in ROUTES:
            want = solved(name, stack_name, n)
            assert_agrees(got, want, asked.combine, ties=stack_name in TIED)


def of_any_number(name, n):
    """The name of the stack of `n` frames with which a recipe is tested."""
    (one,) = share(name, OF_ANY_NUMBER, 2, turn=(*COUNTS, *MOST).index(n))
    return one


@pytest.fixture
def is_cut(request):
    """Whether the backend is one of `CUT`, which get fewer stacks."""
    return request.node.callspec.params["backend"] in CUT


@pytest.mark.parametrize("name", RECIPES)
def test_every_stack(backend, name, is_cut):
    few = is_cut and name not in ROUTES
    for stack_name in share(name, VALUES, CUT_SHARE) if few else stacks_of(name):
        agrees(backend, name, stack_name, FRAMES)


@pytest.mark.parametrize("name", RECIPES)
def test_any_number_of_frames(backend, name, is_cut):
    for n in CUT_COUNTS if is_cut else COUNTS:
        if fits(name, n):
            agrees(backend, name, of_any_number(name, n), n)


@needs_compiler
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("kind", KERNELS)
def test_kernels_on_every_stack(kind, name):
    # A flat kernel differs from a staged one only in how it reads, and in keeping invalid samples
    # at the ends of the column for longer.
    few = kind == "flat" and name not in ROUTES
    for stack_name in share(name, VALUES, 2) if few else stacks_of(name):
        if kind != "streamed" or stack_name in FEW_TYPES:
            like_cpu(KERNELS[kind], name, stack_name, FRAMES)


@needs_compiler
@pytest.mark.parametrize("name", OWN_TYPE)
def test_kernels_on_any_number_of_frames(name):
    # So many frames are slow, and only the recipes of ROUTES need all of the numbers.
    many = MOST if name in ROUTES else share(name, MOST, 3)
    for n in (*COUNTS, *many):
        if fits(name, n):
            kind = KERNELS["flat" if n % 2 else "staged"]
            like_cpu(kind, name, of_any_number(name, n), n)


@needs_compiler
@pytest.mark.parametrize("name", OWN_TYPE)
@pytest.mark.parametrize("kind", FLUSHING)
def test_kernels_keep_subnormals_where_arithmetic_flushes_them(kind, name):
    for stack_name in SUBNORMAL:
        like_cpu(FLUSHING[kind], name, stack_name, FRAMES)
