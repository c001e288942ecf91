"""What is to come out of the recipes and stacks of the tables, found once for many tests."""

from contextlib import contextmanager
from functools import cache

from bands import Cpu
from gpustack.errors import RecipeError
from oracle import solve
from recipes import RECIPES, ROUTES, recipe
from stacks import STACKS, VALUES, rows_of, run, stack

#: Enough frames for every recipe of the tables.
FRAMES = 6
#: In whole tiles, by one thread; one instance, so that tests also try reused buffers.
CPU = Cpu(threads=1)
_PLACES = {name: i for i, name in enumerate(RECIPES)}


def stacks_of(name):
    """The stacks that a recipe meets.

    Recipes see values, not how they lie in memory: every recipe meets every kind of values,
    every stack meets every kind of recipe.
    """
    return STACKS if name in ROUTES else VALUES


def share(name, among, of, turn=0):
    """Each `of`-th of some, others for the next recipe and the next turn.

    Recipes that are alike are neighbours, so that what their kind meets is all of them.
    """
    return tuple(among)[(_PLACES[name] + turn) % of :: of]


@cache
def samples(name, stack_name, n):
    """The stack, of many frames no more than the oracle gets through quickly."""
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
    """Whether the recipe has a meaning for so few frames."""
    try:
        recipe(name, n).check_frames(n)
    except RecipeError:
        return False
    return True


@contextmanager
def on(*case):
    """A failure inside says for which of many cases it was."""
    try:
        yield
    except Exception as err:
        err.add_note(f"on {' '.join(map(str, case))}")
        raise
