"""What explain says of a pixel, held against the stack itself and against its own bounds."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.nddata import NDData, VarianceUncertainty
from astropy.stats import sigma_clip

import clip_chains
from gpustack import ExtremaClip, RangeClip, Recipe, SigmaClip, explain
from gpustack.clips import BoundClip
from gpustack.engine import run
from gpustack.frames import open_frames
from gpustack.reasons import Reason
from recipes import RECIPES, ROUTES, recipe
from stacks import STACKS, with_variances, with_weights
from tolerances import bits

N = 11
#: (x, y): masked in all frames where there are masks, ordinary ones, the last.
PIXELS = [(0, 0), (3, 2), (1, 4), (6, 4)]
INVALID = ("masked", "blank", "not finite", "not finite when normalised")
CHAINS = {f"chain-{name}": Recipe(clips=clips) for name, clips in clip_chains.CHAINS.items()}
#: All recipes on one stack, one for each way through a backend and what follows cut ties on more.
PAIRS = [(name, "masked") for name in RECIPES]
PAIRS += [(name, "ties") for name in CHAINS]
PAIRS += [(name, kind) for name in ROUTES for kind in ("ties", "infinite", "wide-and-narrow")]


def arrays(name, wanted):
    """The frames of a stack of the tests as masked arrays, or with the variances it takes."""
    band = STACKS[name](N)
    if wanted.needs_variance:
        return [
            NDData(s.data, mask=s.mask, uncertainty=VarianceUncertainty(s.variance))
            for s in with_variances(band)
        ]
    return [np.ma.MaskedArray(s.data, np.False_ if s.mask is None else s.mask) for s in band]


def whole(frames, recipe, weights):
    """The stack of all pixels, with the reasons of all samples."""
    return run(open_frames(frames), recipe, weights=weights, backend="cpu", reasons=True)


def asked(name):
    """A recipe of the tests, and weights where it wants them for each sample."""
    wanted = CHAINS[name] if name in CHAINS else recipe(name, N)
    if wanted.weights != "sample":
        return wanted, None
    band = with_weights(STACKS["masked"](N))
    return wanted, np.nan_to_num(np.array([samples.weight for samples in band], float))


def assert_result(found, result, x, y):
    """The explanation ends with what the stack has, to the bit."""
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
    """What the backends say of a sample with such a fate."""
    fate, step = found.samples["fate"][f], found.samples["step"][f]
    if fate in ("low", "high"):
        ranges = all(isinstance(clip, RangeClip) for clip in found.recipe.clips[:step])
        return Reason.RANGE if ranges else Reason.CLIP
    return {"used": 0, "masked": Reason.MASKED}.get(fate, Reason.NO_VALUE)


def assert_attributed(found):
    """Each sample is used, invalid, or rejected by one pass of one step, as the table says."""
    rejected = {}
    for k, step in enumerate(found.steps, 1):
        assert step.clip == found.recipe.clips[k - 1]
        for p, made in enumerate(step.passes, 1):
            for side in ("low", "high"):
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
    """What a pass rejected lies out of the bounds it shows, and what it left within."""
    left = {f for f, fate in enumerate(found.samples["fate"]) if fate not in INVALID}
    for step in found.steps:
        raw = isinstance(step.clip, RangeClip) or found.recipe.clip_on == "raw"
        x = np.asarray(found.samples["raw" if raw else "value"], float)
        assert bool(step.passes) or not left
        for made in step.passes:
            rejected = {*made.low, *made.high}
            assert rejected <= left
            left -= rejected
            if made.lower is None:
                by_frame = found.recipe.by_frame(step.clip)
                assert by_frame or not isinstance(step.clip, RangeClip | BoundClip)
                continue
            assert all(x[f] < made.lower for f in made.low)
            assert all(x[f] > made.upper for f in made.high)
            out = {f for f in left if x[f] < made.lower or x[f] > made.upper}
            assert out == {*made.kept}
            assert not out or step.clip.keep != 0
        if isinstance(step.clip, BoundClip) and step.passes:
            assert_stopped(step, left)


def assert_stopped(step, left):
    """The passes go on until there is a reason to stop, and no further."""
    *others, last = step.passes
    assert all(made.low + made.high and not made.kept for made in others)
    full = len(step.passes) == step.clip.maxiters
    assert full or not last.low + last.high or last.kept or not left


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_it_agrees_with_the_stack_and_with_itself(name, kind):
    wanted, weights = asked(name)
    frames = arrays(kind, wanted)
    result = whole(frames, replace(wanted, outputs=Recipe().outputs), weights)
    for x, y in PIXELS:
        found = explain(frames, x, y, wanted, weights=weights)
        assert_result(found, result, x, y)
        assert_attributed(found)
        assert_within(found)
        assert str(found).isascii()


def test_a_column_by_hand():
    # Median 10, std 2.309: 16 is above 14.619. Then median 10, std 0.632: none is above 11.265.
    column = np.array([9, 10, 10, 10, 11, 16], float)
    found = explain(column[:, None, None], 0, 0, SigmaClip(low=None, high=2))
    first, last = found.steps[0].passes
    assert (first.center, first.lower, first.high, first.low) == (10, -np.inf, (5,), ())
    assert first.upper == pytest.approx(10 + 2 * column.std())
    assert last.upper == pytest.approx(10 + 2 * column[:5].std())
    assert (last.low, last.high, last.kept) == ((), (), ())
    assert found.samples["pass"].tolist() == [0, 0, 0, 0, 0, 1]
    assert (found.data, found.count, found.low, found.high) == (10, 5, 0, 1)


@pytest.mark.parametrize("center", ["mean", "median"])
@pytest.mark.parametrize("seed", range(8))
def test_the_last_bounds_are_those_of_astropy(center, seed):
    column = np.random.default_rng(seed).standard_cauchy(20)
    found = explain(column[:, None, None], 0, 0, SigmaClip(1.7, 2.3, center))
    with np.errstate(all="ignore"):
        kept, lower, upper = sigma_clip(
            column, sigma_lower=1.7, sigma_upper=2.3, maxiters=None, cenfunc=center,
            masked=False, return_bounds=True,
        )  # fmt: skip
    last = found.steps[0].passes[-1]
    assert (last.lower, last.upper) == pytest.approx((lower, upper))
    assert found.count == np.isfinite(kept).sum()


def test_passes_are_no_more_than_asked_for():
    # Each pass is wide enough for all but the largest: 3000, 300, 30, and one finds nothing.
    column = np.array([0, 1, 2, 3, 4, 30, 300, 3000], float)[:, None, None]
    clips = [SigmaClip(2, 2, maxiters=most) for most in (1, 2, 4, 9, None)]
    passes = [len(explain(column, 0, 0, clip).steps[0].passes) for clip in clips]
    assert passes == [1, 2, 4, 4, 4]


def test_samples_that_keep_brings_back_are_said_to_be_out_of_bounds():
    column = np.array([0, 10, 11, 30], float)[:, None, None]
    found = explain(column, 0, 0, SigmaClip(0.01, 0.01, keep=2))
    (only,) = found.steps[0].passes
    assert (only.low, only.high, only.kept) == ((0,), (3,), (1, 2))
    assert "10  used, kept out of bounds" in str(found)
    later = explain(column, 0, 0, [SigmaClip(0.01, 0.01, keep=2), RangeClip(high=10)])
    assert later.samples["fate"].tolist() == ["low", "used", "high", "high"]
    assert later.samples["step"].tolist() == [1, 0, 2, 1]


def test_of_equal_samples_the_earlier_frame_is_the_lower():
    column = np.array([5, 5, 5, 5], float)[:, None, None]
    found = explain(column, 0, 0, ExtremaClip(1, 2))
    assert (found.steps[0].low, found.steps[0].high) == ((0,), (2, 3))


def test_the_first_pass_of_a_trimmed_mean_is_trimmed():
    column = np.array([0, 10, 12, 14, 1000], float)[:, None, None]
    found = explain(column, 0, 0, SigmaClip(1, 1, "trimmed_mean"))
    assert [made.center for made in found.steps[0].passes][:2] == [12, 9]
