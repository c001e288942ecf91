"""The comparison of clips by number of frames, against arithmetic where possible."""

import json

import numpy as np
import pytest

from bench import choosing, table


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(choosing, "SHAPE", (60, 200))


@pytest.mark.parametrize(("n", "hits", "height"), [(5, 1, 50), (7, 2, 50), (3, 1, 6)])
def test_so_many_samples_of_some_columns_are_hit(small, n, hits, height):
    clean = choosing.frames_of(n, choosing.SKY)
    off = choosing.hit(clean.copy(), hits, height) - clean
    struck = off[:, :, :: choosing.EACH]
    np.testing.assert_allclose(struck[struck > 0], height * choosing.noise(choosing.SKY))
    assert ((struck > 0).sum(axis=0) == hits).all()
    assert (struck > 0).any(axis=(1, 2)).all()  # every frame is hit somewhere
    assert np.count_nonzero(off) == np.count_nonzero(struck)


@pytest.mark.parametrize("n", [4, 9])
def test_a_mean_is_what_arithmetic_says(small, n):
    told = choosing.judge("no clip, mean", n)
    assert told["clean"] == pytest.approx(1, abs=0.03)
    assert told["bright"] == pytest.approx(50 / np.sqrt(n), abs=0.15)
    assert told["two"] == pytest.approx(100 / np.sqrt(n), abs=0.15)
    assert told["star"] == 0


def test_extremes_are_always_rejected(small):
    assert choosing.judge("extrema", 8)["star"] == pytest.approx(25)


def test_a_majority_of_hits_is_no_question(small):
    assert choosing.judge("sigma", 3)["two"] is None


def test_a_run_is_a_page(small, tmp_path, capsys):
    path, page = tmp_path / "results.json", tmp_path / "page.md"
    assert choosing.main(["--frames", "3", "5", "--json", str(path)]) == 0
    page.write_text("<!-- bench: choosing-two -->\n<!-- /bench -->\n")
    assert table.main([str(path), "--into", str(page)]) == 0
    rows = page.read_text().splitlines()
    assert all(any(row.startswith(f"| {way} ") for row in rows) for way in choosing.WAYS)
    assert "44.7" in page.read_text()
    assert page.read_text().split("-->\n")[1].split("\n<!--")[0].strip() in capsys.readouterr().out
    assert set(json.loads(path.read_text())["ways"]) == set(choosing.WAYS)
