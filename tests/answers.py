"""Expected answers for the recipes and stacks of the tables, computed once for many tests."""

from contextlib import contextmanager
from functools import cache

from bands import Cpu
from gpustack.errors import RecipeError
from oracle import solve
from recipes import RECIPES, ROUTES, recipe
from stacks import STACKS, VALUES, rows_of, run, stack

#: Enough frames for every recipe of the tables.
FRAMES = 6
#: Whole tiles, one thread. One instance for all tests, so that reused buffers are tested too.
CPU = Cpu(threads=1)
_PLACES = {name: i for i, name in enumerate(RECIPES)}


def stacks_of(name):
    """The names of the stacks with which a recipe is tested.

    A recipe depends on values, not on memory layout. So every recipe is tested with every kind of
    values (`VALUES`), and every stack with every route through a backend (`ROUTES`).
    """
    return STACKS if name in ROUTES else VALUES


def share(name, among, of, turn=0):
    """Every `of`-th item of `among`; another selection for the next recipe and the next turn.

    Similar recipes are neighbours in the table, so that together they cover all items.
    """
    return tuple(among)[(_PLACES[name] + turn) % of :: of]


@cache
def samples(name, stack_name, n):
    """The samples of a stack; of 20 frames and more only one row, because the oracle is slow."""
    band = stack(stack_name, n, recipe(name, n))
    return band if n < 20 else rows_of(band, 0, 1)


@cache
def solved(name, stack_name, n):
    """The oracle's answer."""
    return solve(samples(name, stack_name, n), recipe(name, n))


@cache
def by_cpu(name, stack_name, n):
    """The answer of the CPU backend."""
    return run(CPU, samples(name, stack_name, n), recipe(name, n))


def fits(name, n):
    """Whether the recipe accepts a stack of `n` frames."""
    try:
        recipe(name, n).check_frames(n)
    except RecipeError:
        return False
    return True


@contextmanager
def on(*case):
    """Add a note to any exception inside that says for which of many cases it was raised."""
    try:
        yield
    except Exception as err:
        err.add_note(f"on {' '.join(map(str, case))}")
        raise
