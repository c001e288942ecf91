"""Values of options that are out of their range, or no numbers, are one clear line and code 2."""

import sys

import pytest

from gpustack.cli import main
from gpustack.cli.parameter_types import hdu_key, number_or_name

SECONDS = r"expected seconds > 0 and <= 86400, got "

#: Arguments of the command line -> the end of its message.
OUT_OF_RANGE = {
    "x": (["explain", "1.5", "2", "a.fits"], "'X': expected a whole number >= 1, got '1.5'"),
    "y": (["explain", "1", "0", "a.fits"], "'Y': expected a whole number >= 1, got '0'"),
    "stop": (
        ["watch", ".", "-o", "o.fits", "--stop-after", "x"],
        "'--stop-after': expected a whole number >= 1, got 'x'",
    ),
    **{
        f"interval {given}": (
            ["watch", ".", "-o", "o.fits", "--interval", given],
            f"'--interval': {SECONDS}{given!r}",
        )
        for given in ("x", "0", "-1", "nan", "inf", "1e300")
    },
    "frames": (
        ["demo", "--frames", "7"],
        "'--frames': expected a whole number >= 8 and <= 1000, got '7'",
    ),
    "size": (
        ["demo", "--size", "1e3"],
        "'--size': expected a whole number >= 128 and <= 4096, got '1e3'",
    ),
    "seed": (["demo", "--seed", "x"], "'--seed': expected a whole number >= 0, got 'x'"),
}


@pytest.mark.parametrize(("words", "message"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_a_value_out_of_range_is_one_line(words, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpustack", *words])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.endswith(f"\nError: Invalid value for {message}\n")


@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 5000, "SCI," + "9" * 5000])
def test_a_number_of_thousands_of_digits_is_a_name(text):
    """Python refuses to convert it."""
    assert hdu_key(text) == text
    assert number_or_name(text) == text
