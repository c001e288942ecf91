"""Every backend and every kernel, over every recipe and every hostile stack, against the oracle.

And the kernels, built by g++, against the CPU backend: its masks and counts, medians, minima
and maxima to the last bit. What nvcc makes of the kernels is not seen here.

One test is one recipe, on all its stacks; answers that several of them need are found once,
so all of them are in this file.
"""

import pytest

from answers import CPU, FRAMES, by_cpu, fits, on, samples, share, solved, stacks_of
from kernels import FLUSHING, KERNELS
from recipes import RECIPES, ROUTES, recipe
from skips import needs_compiler
from stacks import TIED, VALUES, run
from tolerances import assert_agrees, assert_like_cpu

#: Few, around the lanes of vectors and sorting networks, and as many as nights bring.
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 25, 40, 130)
#: Where the same code gets its rows cut otherwise, or pretended devices get them. How many frames
#: there are and what values has little to do with that, and kernels meet all of it below: of each
#: recipe a share of the stacks does.
CUT = ("cpu-small-tiles", "cuda-stand-in")
CUT_COUNTS = (1, 2, 5, 40)
CUT_SHARE = 3
#: The most that registers hold (128 float32), more than twice that, and more than lie in shared
#: memory.
MOST = (128, 301, 400)
#: Stacks of any number of frames. A recipe meets one of them, its neighbours the other.
OF_ANY_NUMBER = ("mixed-masks", "ties")
#: A type of samples more is a build more: those of few types for kernels that look at each
#: sample again, and what the arithmetic of a device takes for zero.
FEW_TYPES = ("masked", "fits-uint16", "mixed-masks", "infinite", "subnormal", "ties", "f8")
SUBNORMAL = ("subnormal", "huge-range", "zeros", "fits-scaled")
#: A result of another type is one more build for every n.
OWN_TYPE = [name for name in RECIPES if not recipe(name, FRAMES).dtype]


def agrees(backend, name, stack_name, n):
    """A backend's answer is the oracle's, within the contract."""
    asked = recipe(name, n)
    with on(n, "frames of", stack_name):
        if backend is CPU:
            got = by_cpu(name, stack_name, n)
        else:
            got = run(backend, samples(name, stack_name, n), asked)
        assert_agrees(got, solved(name, stack_name, n), asked.combine, ties=stack_name in TIED)


def like_cpu(kernels, name, stack_name, n):
    """Kernels decide to the last bit as the CPU backend does; and agree with the oracle.

    Of many frames the oracle takes long: there one recipe for each way through a kernel does.
    """
    asked = recipe(name, n)
    with on(n, "frames of", stack_name):
        got = run(kernels, samples(name, stack_name, n), asked)
        assert_like_cpu(got, by_cpu(name, stack_name, n), asked.combine)
        if n <= 40 or name in ROUTES:
            want = solved(name, stack_name, n)
            assert_agrees(got, want, asked.combine, ties=stack_name in TIED)


def of_any_number(name, n):
    """The stack that a recipe meets of `n` frames."""
    (one,) = share(name, OF_ANY_NUMBER, 2, turn=(*COUNTS, *MOST).index(n))
    return one


@pytest.fixture
def is_cut(request):
    """Whether it is the same code, with rows cut otherwise."""
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
    # A flat kernel reads otherwise, and has invalid samples at the ends for longer; from there on
    # it is a staged one.
    few = kind == "flat" and name not in ROUTES
    for stack_name in share(name, VALUES, 2) if few else stacks_of(name):
        if kind != "streamed" or stack_name in FEW_TYPES:
            like_cpu(KERNELS[kind], name, stack_name, FRAMES)


@needs_compiler
@pytest.mark.parametrize("name", OWN_TYPE)
def test_kernels_on_any_number_of_frames(name):
    # So many take long, and only what is a way of its own through a kernel needs all of them.
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
