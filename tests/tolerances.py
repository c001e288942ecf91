"""How closely a backend must agree with the oracle, with the reason for each number."""

from typing import Any

import numpy as np

#: The contract for mean, sum and uncertainty. A float32 result is rounded to 6e-8 of itself;
#: the rest is room for the order in which a backend sums.
RELATIVE = 1e-6
#: Where terms cancel, the result may be far smaller than the terms. Sums are float64 (1e-16)
#: over at most a few hundred terms: an error of this fraction of the terms' size may remain.
CANCELLATION = 1e-12
#: Sums of subnormal float64 have an error of one step between these numbers.
SUBNORMAL_STEP = 2.0**-1074
#: Pixels with a decision that rounding may change are not compared. There may be few of them, or
#: a test would check nothing: at most this fraction of the pixels, or one pixel of a small frame.
MAX_CLOSE = 0.03

#: Outputs of a backend with one number per pixel; `MAPS` adds the one with one per sample.
IMAGES = ("data", "uncertainty", "mask", "count", "low", "high")
MAPS = (*IMAGES, "reasons")

DECISIONS = ("mask", "count", "low", "high", "reasons")

EXACT_COMBINES = ("median", "lower_median", "lmedian", "min", "max")


def assert_agrees(got: Any, want: Any, combine: str, *, ties: bool = False) -> None:
    """Assert that the `got` Outputs of a backend agree with the `want` Answer of the oracle.

    Maps of decisions, median, min and max must be equal bit for bit. Pixels with a decision that
    rounding may change are not compared; with `ties` there may be any number of them.
    """
    sure = ~want.close
    assert ties or want.close.sum() <= max(1, MAX_CLOSE * want.close.size)
    for name in ("mask", "count", "low", "high", "reasons"):
        given, expected = getattr(got, name), getattr(want, name)
        np.testing.assert_array_equal(given[..., sure], expected[..., sure], err_msg=name)
    np.testing.assert_array_equal(got.valid, want.valid, err_msg="valid")
    if sure.all():
        np.testing.assert_array_equal(got.rejected, want.rejected, err_msg="rejected")
    assert got.data.dtype == want.data.dtype
    if combine in EXACT_COMBINES:
        np.testing.assert_array_equal(got.data[sure], want.data[sure], err_msg="data")
    else:
        assert_near(got.data[sure], want.data[sure], want.size[sure], "data")
    if got.uncertainty is not None:
        assert_near(got.uncertainty[sure], want.uncertainty[sure], want.size[sure], "uncertainty")


def assert_near(given: Any, expected: Any, size: Any, name: str) -> None:
    """Assert that `given` is `expected` within the contract, for sums of terms of `size`."""
    np.testing.assert_array_equal(np.isnan(given), np.isnan(expected), err_msg=name)
    number = np.isfinite(expected)
    np.testing.assert_array_equal(given[~number], expected[~number], err_msg=name)
    given, expected = given[number].astype(float), expected[number].astype(float)
    allowed = RELATIVE * np.abs(expected) + CANCELLATION * size[number] + SUBNORMAL_STEP
    worst = np.abs(given - expected) - allowed
    assert (worst <= 0).all(), (
        f"{name}: expected {expected[worst > 0]}, got {given[worst > 0]}, "
        f"allowed differences {allowed[worst > 0]}"
    )


def assert_sigma(given: Any, expected: Any, want: Any) -> None:
    """Assert that a map of sigmas is that of the oracle, for the pixels of its `want` Answer.

    The oracle measures sigma about its own value. The value of a backend may be the neighbouring
    number of its dtype, which is allowed for.
    """
    sure = ~want.close
    given, expected, value = given[sure], expected[sure], want.data[sure]
    np.testing.assert_array_equal(np.isnan(given), np.isnan(expected))
    allowed = RELATIVE * expected + np.abs(value) * float(np.finfo(value.dtype).eps)
    worst = np.abs(given - expected) - allowed
    assert (worst[~np.isnan(expected)] <= 0).all(), (worst.max(), given, expected)


def assert_same_bits(one: Any, other: Any, names: tuple[str, ...] = ()) -> None:
    """Assert that two Outputs are equal bit for bit, in all maps or in those of `names`."""
    for name in names or MAPS:
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_array_equal(bits(first), bits(second), err_msg=name)


def assert_like_cpu(got: Any, want: Any, combine: str) -> None:
    """Assert that decisions and exact values equal those of the CPU backend bit for bit."""
    assert_same_bits(got, want, DECISIONS)
    for name in ("valid", "rejected"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
    if combine in EXACT_COMBINES:
        assert_same_bits(got, want, ("data",))


def bits(array: Any) -> Any:
    """Floats as the integers of their bits, with one pattern for all NaN; other types as is."""
    if array.dtype.kind != "f":
        return array
    whole = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return whole.view(f"u{array.dtype.itemsize}")
