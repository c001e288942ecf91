"""`Flags`, which select bits of integer masks, in every form of input."""

import numpy as np
import pytest
from astropy.nddata.bitmask import interpret_bit_flags
from hypothesis import given
from hypothesis import strategies as st

from gpustack import Flags
from gpustack.errors import RecipeError

BITS = st.integers(0, 31).map(lambda number: 1 << number)


@given(bits=st.lists(BITS, min_size=1, max_size=5, unique=True), sign=st.sampled_from(",+|"))
def test_forms_of_the_same_bits(bits, sign):
    text = sign.join(map(str, bits))
    expected = interpret_bit_flags(text)
    forms = (text, f" {text} ", bits, tuple(bits), np.array(bits), expected, str(expected))
    for form in (*forms, hex(expected), np.int64(expected), np.array(expected)):
        assert Flags(bad=form).bad == Flags(good=form).good == expected
        assert type(Flags(bad=form).bad) is int


def test_masks_have_64_bits():
    every = (1 << 64) - 1
    assert Flags(bad=every).bad == Flags(bad=hex(every)).bad == every


def test_what_is_written_twice_counts_once():
    assert Flags(bad=[4, 4]).bad == Flags(bad="4,4").bad == 4


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"bad": -1}, "bad: expected a whole number >= 0, got -1"),
        ({"good": "~4"}, "good: expected a whole number >= 0, got '~4'"),
        ({"bad": "4,x"}, "bad: .*got 'x'"),
        ({"bad": ""}, "bad: .*got ''"),
        ({"bad": "4+8,16"}, None),
        ({"bad": 4.0}, "bad: .*got 4.0"),
        ({"bad": True}, "bad: .*got True"),
        ({"bad": b"4"}, None),
        ({"bad": [3, 4]}, r"bad: .*values of single bits \(1, 2, 4, 8, ...\), got \[3, 4\]"),
        ({"good": "1,2,3"}, "good: .*values of single bits .*, got '1,2,3'"),
        ({"bad": "0,4"}, "single bits"),
        ({"bad": 1 << 64}, "bad: expected at most 64 bits, got 18446744073709551616"),
        ({"bad": 4, "good": 8}, "flags: expected bad or good bits, got both, bad=4 and good=8"),
        ({"bad": 0, "good": 0}, "bad=0 and good=0"),
    ],
)
def test_what_is_refused(given_, message):
    if message is None:
        # Mixed signs and bytes are accepted, which is harmless.
        assert Flags(**given_).bad in (28, 52)
        return
    with pytest.raises(RecipeError, match=message):
        Flags(**given_)


def test_a_value_that_compares_hashes_and_prints():
    assert Flags(bad="4,8") == Flags(bad=12)
    assert len({Flags(), Flags(bad=0), Flags(good=0), Flags(bad=None)}) == 3
    assert [str(flags) for flags in (Flags(), Flags(bad=0), Flags(good=12))] == [
        "any",
        "bad=0",
        "good=12",
    ]
    with pytest.raises(AttributeError):
        Flags().bad = 3


@pytest.mark.parametrize(
    ("flags", "given_", "invalid"),
    [
        (Flags(), False, 0xFF),
        (Flags(bad=0), True, 0),
        (Flags(good=0), True, 0xFF),
        (Flags(bad=0x103), True, 0x03),
        (Flags(good=0x103), True, 0xFC),
    ],
)
def test_bits_that_make_a_sample_invalid(flags, given_, invalid):
    assert (flags.given, flags.invalid(0xFF)) == (given_, invalid)
