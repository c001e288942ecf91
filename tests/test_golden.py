"""gpustack against stored answers of IRAF and Siril, pixel by pixel.

Neither program has to be installed: `bench.parity` wrote their answers to tests/golden and defines
the cases.
"""

import json

import numpy as np
import pytest

from bench.parity import golden
from bench.parity.cases import CASES
from bench.parity.compare import compare
from bench.parity.differences import DIFFERENCES
from bench.parity.frames import NAMES, frames

#: Largest total size of the stored answers, in bytes.
MOST = 760_000
COMPARED = [name for name, case in CASES.items() if case.ours is not None]


@pytest.mark.parametrize("name", COMPARED)
def test_gpustack_answers_as_the_program_did(name):
    found = compare(CASES[name], golden.load(name))
    allowed = DIFFERENCES[name].pixels if name in DIFFERENCES else 0
    assert found.differing <= allowed, where(found)
    if not allowed:
        assert found.totals in (None, (0, 0))


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_listed_difference_is_there(name):
    assert compare(CASES[name], golden.load(name)).differing > 0
    assert DIFFERENCES[name].why


def where(found):
    """The first differing pixels of each map."""
    maps = {"value": found.value, "count": found.count, "sigma": found.sigma}
    return {name: np.argwhere(map_)[:5].tolist() for name, map_ in maps.items() if map_ is not None}


@pytest.mark.parametrize("name", NAMES)
def test_frames_are_those_that_the_programs_got(name):
    assert frames(name).checksum == golden.index()["frames"][name]


def test_every_case_is_kept_and_nothing_else():
    kept = {path.stem for path in golden.FOLDER.glob("*.npz")}
    assert kept == set(CASES) == set(golden.index()["cases"])
    assert sum(path.stat().st_size for path in golden.FOLDER.iterdir()) < MOST


def test_the_index_says_how_each_answer_was_made():
    for name, entry in golden.index()["cases"].items():
        fresh = golden.entry(CASES[name], golden.load(name))
        assert entry == json.loads(json.dumps(fresh)), name


def test_clips_have_something_to_do():
    # If the answer were that without a clip, a clip that does nothing would pass the tests.
    for name in ("iraf-minmax_nlow=1_nhigh=1-even", "siril-rej_w_2_2.5-even"):
        plain = golden.load(f"{name.partition('-')[0]}-{PLAIN[name[:4]]}-even")
        differ = plain.maps["data"] != golden.load(name).maps["data"]
        assert differ.mean() > 0.2, name


PLAIN = {"iraf": "combine=average", "siri": "rej_n"}


def test_the_frames_have_outliers_ties_and_columns_of_any_count():
    cube = frames("even").cube
    assert ((cube > cube.min(axis=0) + 300).sum(axis=0) >= 2).mean() > 0.02
    whole = np.sort(frames("whole").cube, axis=0)
    assert (whole[1:] == whole[:-1]).any(axis=0).mean() > 0.2
    counts = (~frames("masked").masks).sum(axis=0)
    assert set(counts.ravel()) == set(range(len(cube) + 1))
