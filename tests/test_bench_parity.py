"""The code that compares with IRAF and Siril: running installed programs, writing pages.

`test_golden.py` tests whether gpustack agrees with their stored answers.
"""

import numpy as np
import pytest

from bench.parity import __main__ as command
from bench.parity import compare, golden, iraf, report, siril
from bench.parity.cases import CASES
from bench.parity.frames import frames

#: One case of each program, one with masks and one with normalisation.
ASKED = ("iraf-combine=average-masked", "siril-rej_s_3_3_-norm=add-levels")


@pytest.mark.parametrize("name", ASKED)
def test_a_program_that_is_here_answers_as_it_did(name):
    program = CASES[name].program
    here, kept = golden.PROGRAMS[program].version(), golden.index()["versions"][program]
    if here != kept:
        pytest.skip(f"{program} {kept} is not here (found {here})")
    assert report.same(golden.run(CASES[name]), golden.load(name))


def test_programs_that_are_not_here_have_no_version(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert iraf.version() is siril.version() is None
    assert command.main([]) == 2


def test_the_page_is_what_the_answers_make_of_it():
    page = golden.FOLDER.parents[1] / "docs" / "parity.md"
    assert report.fill(page.read_text()) == page.read_text()


def test_a_kept_answer_is_read_as_it_was_written(tmp_path):
    name = ASKED[1]
    golden.write({name: golden.load(name)}, tmp_path)
    assert report.same(golden.load(name, tmp_path), golden.load(name))
    assert golden.load(name, tmp_path).said == golden.load(name).said


def test_another_value_or_count_differs():
    name = "iraf-combine=average-masked"
    answer = golden.load(name)
    right = compare.compare(CASES[name], answer)
    assert right.differing == 0
    answer.maps["data"][0, 0] *= 1 + 3 * compare.VALUE
    answer.maps["rejected"][3, 4] ^= 1
    answer.maps["sigma"][5, 6] *= 1 + 3 * compare.SIGMA
    found = compare.compare(CASES[name], answer)
    assert found.differing == 3
    assert (found.value.sum(), found.count.sum(), found.sigma.sum()) == (1, 1, 1)


def test_the_normalisations_come_from_the_sequence_file():
    line = "M0-{} 9 9 1 1 1 1 1 1 {} {} 0 1 1 1"
    text = "#comment\n" + "\n".join(line.format(i, 2.0 + i, 1.0 + i) for i in range(2))
    said = siril.normalisations(text, 10.0)
    assert said["add"] == ([1.0, 1.0], [0.0, 10.0])
    assert said["mul"] == ([1.0, 2 / 3], [0.0, 0.0])
    assert said["addscale"] == ([1.0, 0.5], [0.0, -10.0])
    assert said["mulscale"] == ([1.0, 1 / 3], [0.0, 0.0])


def test_the_median_of_imcombine():
    assert iraf.median(np.array([4.0, 1.0, 3.0, 2.0])) == 2
    assert iraf.median(np.array([5.0, 4.0, 1.0, 3.0, 2.0])) == 2


def test_frames_in_files_are_the_frames(tmp_path):
    from astropy.io import fits

    given = frames("masked")
    paths = given.write(tmp_path, 1 / siril.UNIT)
    for path, frame, mask in zip(paths, given.cube, given.masks, strict=True):
        data, header = fits.getdata(path, header=True)
        np.testing.assert_array_equal(data * np.float32(siril.UNIT), frame)
        np.testing.assert_array_equal(fits.getdata(tmp_path / header["BPM"]), mask)
