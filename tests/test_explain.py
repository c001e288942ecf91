"""`explain` agrees with the stack, and its fates of samples agree with its bounds."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.nddata import NDData, VarianceUncertainty

import clip_chains
from gpustack import Grow, RangeClip, Recipe, VarianceClip, explain
from gpustack.clips import BoundClip, LinearFitClip, SigmaMedianClip
from gpustack.engine import run
from gpustack.frames import open_frames
from gpustack.reasons import Reason
from recipes import GROWN, RECIPES, ROUTES, grown, recipe
from stacks import STACKS, with_variances, with_weights
from tolerances import bits

N = 11
#: (x, y): one that is masked in all frames if there are masks, ordinary ones, and the last.
PIXELS = [(0, 0), (3, 2), (1, 4), (6, 4)]
INVALID = ("masked", "blank", "not finite", "not finite when normalised")
CHAINS = {f"chain-{name}": Recipe(clips=clips) for name, clips in clip_chains.CHAINS.items()}
#: All recipes on one stack; `ROUTES`, the clip chains and recipes with clips by frame on more.
PAIRS = [(name, "masked") for name in RECIPES]
PAIRS += [(name, "ties") for name in CHAINS]
PAIRS += [(name, "ties") for name in RECIPES if recipe(name, N).clips_by_frame]
PAIRS += [(name, kind) for name in ROUTES for kind in ("ties", "infinite", "wide-and-narrow")]
#: Without duplicates: recipes of `ROUTES` may have clips by frame too.
PAIRS = list(dict.fromkeys(PAIRS))

#: Relative rounding error of bounds about a line: the backend compares the distance from the line,
#: and bounds are that limit plus the value of the line.
LINE_ROUNDING = 2.0**-50


def arrays(name, wanted):
    """The frames of a test stack as masked arrays, or as NDData if the recipe needs variances."""
    band = STACKS[name](N)
    if wanted.needs_variance:
        return [
            NDData(s.data, mask=s.mask, uncertainty=VarianceUncertainty(s.variance))
            for s in with_variances(band)
        ]
    return [np.ma.MaskedArray(s.data, np.False_ if s.mask is None else s.mask) for s in band]


def whole(frames, recipe, weights):
    """The result for all pixels, with the reasons of all samples."""
    return run(open_frames(frames), recipe, weights=weights, backend="cpu", reasons=True)


def asked(name):
    """A recipe of the tables, and weights of samples if it needs them."""
    wanted = CHAINS[name] if name in CHAINS else recipe(name, N)
    return wanted, weights_for(wanted)


def weights_for(wanted):
    """Weights for the samples of the masked stack, or None if the recipe needs none."""
    if wanted.weights != "sample":
        return None
    band = with_weights(STACKS["masked"](N))
    return np.nan_to_num(np.array([samples.weight for samples in band], float))


def assert_result(found, result, x, y):
    """Assert that the explained result of a pixel equals that of the stack, bit for bit."""
    for name in ("data", "uncertainty", "mask", "count", "low", "high"):
        given, map_ = getattr(found, name), getattr(result, name)
        assert (given is None) == (map_ is None), name
        if given is not None:
            given = np.asarray(given, map_.dtype if name in ("count", "low", "high") else None)
            np.testing.assert_array_equal(bits(given), bits(map_[y, x]), err_msg=name)
            assert given.dtype == map_.dtype, name
    expected = [reason_of(found, f) for f in range(len(found.samples))]
    np.testing.assert_array_equal(expected, result.reasons[:, y, x])


def reason_of(found, f):
    """The reason by which backends mark a sample with this fate."""
    fate, step = found.samples["fate"][f], found.samples["step"][f]
    if fate in ("low", "high"):
        ranges = all(isinstance(clip, RangeClip) for clip in found.recipe.clips[:step])
        return Reason.RANGE if ranges else Reason.CLIP
    known = {"used": 0, "masked": Reason.MASKED, "grown": Reason.GROW}
    return known.get(fate, Reason.NO_VALUE)


def assert_attributed(found):
    """Assert that each sample is used, invalid, or rejected by one pass, as its row says."""
    rejected = {}
    for k, step in enumerate(found.steps, 1):
        assert step.clip == found.recipe.clips[k - 1]
        for p, made in enumerate(step.passes, 1):
            for side in ("low", "high", "grown"):
                for f in getattr(made, side):
                    assert f not in rejected
                    rejected[f] = (side, k, p)
    rows = zip(*(found.samples[name] for name in ("fate", "step", "pass")), strict=True)
    for f, row in enumerate(rows):
        assert tuple(row) == rejected.get(f, (row[0], 0, 0))
        assert f in rejected or row[0] in ("used", *INVALID)
    assert found.low == sum(len(step.low) for step in found.steps)
    assert found.high == sum(len(step.high) for step in found.steps)


def assert_within(found):
    """Assert that a pass rejected samples outside its stated bounds and no others."""
    left = {f for f, fate in enumerate(found.samples["fate"]) if fate not in INVALID}
    for step in found.steps:
        raw = isinstance(step.clip, RangeClip) or found.recipe.clip_on == "raw"
        x = np.asarray(found.samples["raw" if raw else "value"], float)
        assert bool(step.passes) or not left
        by_frame = found.recipe.by_frame(step.clip)
        bounded = by_frame or isinstance(step.clip, RangeClip | BoundClip | SigmaMedianClip)
        for made in step.passes:
            rejected = {*made.low, *made.high, *made.grown}
            assert rejected <= left
            if not bounded:
                assert (made.bounds, made.lower, made.bounds_of(0)) == ((), None, None)
            elif by_frame:
                assert {f for f, own in enumerate(made.bounds) if own is not None} == left
            left -= rejected
            if bounded:
                assert_sides(step.clip, made, x, left)
        if bounded and not isinstance(step.clip, RangeClip) and step.passes:
            assert_stopped(step, left)


def assert_sides(clip, made, x, left):
    """Assert that samples of one pass are on the right side of their bounds."""
    slack = LINE_ROUNDING * np.abs(x) if isinstance(clip, LinearFitClip) else np.zeros(len(x))
    assert all(x[f] < made.bounds_of(f).lower + slack[f] for f in made.low)
    assert all(x[f] > made.bounds_of(f).upper - slack[f] for f in made.high)
    assert {*made.kept} <= left
    for f in left:
        own = made.bounds_of(f)
        how = 1 if f in made.kept else -1
        out = x[f] < own.lower + how * slack[f] or x[f] > own.upper - how * slack[f]
        assert out == (f in made.kept)
    assert not made.kept or clip.keep != 0


def assert_stopped(step, left):
    """Assert that the passes of a step stop at the first reason to stop."""
    *others, last = step.passes
    assert all(made.low + made.high and not made.kept for made in others)
    full = len(step.passes) == step.clip.maxiters
    assert full or not last.low + last.high or last.kept or not left


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_explanations_agree_with_the_stack_and_with_themselves(name, kind):
    wanted, weights = asked(name)
    frames = arrays(kind, wanted)
    result = whole(frames, replace(wanted, outputs=Recipe().outputs), weights)
    for x, y in PIXELS[PAIRS.index((name, kind)) % 2 :: 2]:
        found = explain(frames, x, y, wanted, weights=weights)
        assert_result(found, result, x, y)
        assert_attributed(found)
        assert_within(found)
        assert str(found).isascii()


GROWING = {name: grown(name, N) for name in GROWN}
GROWING["variance"] = Recipe(clips=[RangeClip(60), VarianceClip(1.9, 2.3), Grow(1.5)])


@pytest.mark.parametrize("kind", ["masked", "ties"])
@pytest.mark.parametrize("name", GROWING)
def test_all_neighbours_that_caused_a_rejection_are_named(name, kind):
    wanted = replace(GROWING[name], outputs=Recipe().outputs)
    frames, weights = arrays(kind, wanted), weights_for(wanted)
    result = whole(frames, wanted, weights)
    for x, y in PIXELS:
        found = explain(frames, x, y, wanted, weights=weights)
        assert_result(found, result, x, y)
        assert_attributed(found)
        assert_within(found)
        (made,) = found.steps[-1].passes
        assert made.grown == tuple(np.flatnonzero(result.reasons[:, y, x] == Reason.GROW))
        assert made.near == tuple(rejected_near(result, f, x, y) for f in made.grown)
        assert all(made.near)


def rejected_near(result, f, x, y):
    """The clipped neighbours of a sample within the radius, found by checking its whole frame."""
    radius = result.recipe.grow.radius
    found = [
        ((i - x) ** 2 + (j - y) ** 2, j, i)
        for (j, i), reason in np.ndenumerate(result.reasons[f])
        if reason == Reason.CLIP
    ]
    return tuple((i, j) for square, j, i in sorted(found) if square <= radius * radius)


def test_growing_is_explained_somewhere():
    frames, wanted = arrays("masked", GROWING["sigma"]), GROWING["sigma"]
    fates = [explain(frames, x, y, wanted).samples["fate"].tolist() for x, y in PIXELS]
    assert any("grown" in fate for fate in fates)
