"""The benchmark of how alignment changes noise and stars, against known values."""

import json

import numpy as np
import pytest

from bench import aligned, table


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(aligned, "SIZE", 150)
    monkeypatch.setattr(aligned, "FRAMES", 4)
    monkeypatch.setattr(aligned, "SEEDS", 2)


def test_stars_have_their_flux_width_and_place(small):
    image = aligned.stars(np.array([0.0, 0.0]), 1.15) - aligned.SKY
    sums = aligned.apertures(image, aligned.RADIUS, aligned.APART)
    np.testing.assert_allclose(sums, aligned.FLUX, rtol=1e-6)
    assert aligned.profile(image, 1.15) == pytest.approx({"width": 1, "peak": 1})
    moved = aligned.stars(np.array([2.0, -1.0]), 1.15) - aligned.SKY
    np.testing.assert_allclose(np.roll(image, (2, -1), (0, 1))[9:-9, 9:-9], moved[9:-9, 9:-9])


def test_frames_are_shifted_as_their_coordinates_say(small):
    dither = np.array([2.0, -1.0])
    exposures = [aligned.frame(aligned.stars(one, 1.3), one) for one in (0 * dither, dither)]
    image = aligned.combined(exposures, "offsets").data - aligned.SKY
    inner = slice(10, -10), slice(10, -10)
    np.testing.assert_allclose(image[inner], (exposures[0].data - aligned.SKY)[inner], atol=1e-2)


def test_frames_that_are_not_resampled_keep_their_noise(small):
    told = aligned.judge_noise("offsets")
    assert told["noise of a pixel"] == pytest.approx(1, abs=0.05)
    assert aligned.judge_noise("wcs")["noise of a pixel"] < 0.9


def test_a_run_is_a_page(small, tmp_path, monkeypatch):
    monkeypatch.setattr(aligned, "ALIGNS", ("offsets", "wcs"))
    path, page = tmp_path / "results.json", tmp_path / "page.md"
    assert aligned.main(["--json", str(path)]) == 0
    page.write_text(
        "".join(f"<!-- bench: aligned-{p} -->\n<!-- /bench -->\n" for p in ("noise", "stars"))
    )
    assert table.main([str(path), "--into", str(page)]) == 0
    assert page.read_text().count("| `wcs`") == 2
    assert set(json.loads(path.read_text())["stars"]) == {"offsets", "wcs"}
