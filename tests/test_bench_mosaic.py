"""The benchmark of a mosaic: all programs make the same one. No test depends on times."""

import re

import numpy as np
import pytest

from bench import mosaic, table
from bench.calls import missing
from bench.memory import can_measure

SIZES = 90, 260
#: Tolerance: places of two programs accurate to 1e-4 pixels, where samples differ by 5 sigma of 30.
CLOSE = 5 * 30 * 2e-4


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return mosaic.simulate(7, *SIZES, tmp_path_factory.mktemp("mosaic"))


def test_the_frames_cover_most_of_the_footprint(simulated):
    mask = mosaic.CALLS["gpustack.stack, mean, image only"](simulated).mask
    assert 0.1 < mask.mean() < 0.4


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", mosaic.CALLS)
def test_all_make_the_same_mosaic(name, simulated):
    if why := missing(re.split("[,._]", name)[0]):
        pytest.skip(why)
    reference = f"gpustack.stack, {'median' if 'median' in name else 'mean'}, all maps"
    expected = mosaic.image_of(mosaic.CALLS[reference](simulated))
    got = mosaic.image_of(mosaic.CALLS[name](simulated))
    np.testing.assert_allclose(got, expected, rtol=0, atol=CLOSE)


def test_differences_are_told(tmp_path):
    one = np.array([[1.0, 2.0, np.nan], [4.0, np.nan, np.nan]])
    other = np.array([[1.5, 2.0, 3.0], [4.0, np.nan, np.nan]])
    paths = [tmp_path / name for name in ("one.npy", "other.npy")]
    for path, image in zip(paths, (one, other), strict=True):
        np.save(path, image)
    assert mosaic.compare(*paths) == {"pixels": 3, "largest": 0.5, "masks": 1}


@pytest.mark.skipif(not can_measure(), reason="peak memory is measured by /proc/self/clear_refs")
def test_a_run_is_a_table(tmp_path, monkeypatch):
    name = "gpustack.stack, mean, image only"
    monkeypatch.setattr(mosaic, "CALLS", {name: mosaic.CALLS[name]})
    path = tmp_path / "results.json"
    arguments = ["--frames", "3", "--sizes", "60,100", "--repeat", "2", "--json", str(path)]
    assert mosaic.main(arguments) == 0
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: mosaic -->\n<!-- /bench -->\n")
    assert table.main([str(path), "--into", str(page)]) == 0
    assert "3 frames of 60 x 60 over 100 x 100" in page.read_text()
    assert f"| {name} |" in page.read_text()
