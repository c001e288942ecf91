"""The benchmarks: every call gives the right answer on tiny data; tables are made of the times.

No test depends on how long something takes.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench import memory, run, sorting, table
from bench.calls import Call, is_gpustack, library, missing
from bench.cases import CASES, Case, check
from bench.data import Data, Kind, simulate
from bench.truth import MOST_LEFT_OUT, PEER_TOLERANCE, DisagreementError, Truth, compare

#: With fewer frames a sample cannot be 3 standard deviations from the mean of its column:
#: (n - 1) / sqrt(n) is 2.7 for 9 and 3.75 for 16.
FRAMES, ROWS, WIDTH = 16, 20, 64

ALL_CALLS = [(case, call) for case in CASES for call in CASES[case].calls]


@pytest.fixture(scope="module")
def data_of(tmp_path_factory):
    """A function that returns the simulated frames of a case; cached by kind."""
    made = {}

    def data(case):
        kind = CASES[case].kind
        if kind not in made:
            made[kind] = simulate(kind, FRAMES, ROWS, WIDTH, tmp_path_factory.mktemp("frames"))
        return made[kind]

    return data


@pytest.mark.parametrize(("case", "name"), ALL_CALLS, ids=map(" ".join, ALL_CALLS))
def test_a_call_gives_the_answer_of_its_case(case, name, data_of):
    if why := missing(name):
        pytest.skip(why)
    data, call = data_of(case), CASES[case].calls[name]
    check(name, call, call.run(call.setup(data)), CASES[case].truth(data.cube))


@pytest.mark.parametrize("case", CASES)
def test_a_case_has_peers_and_us(case):
    libraries = {library(name) for name in CASES[case].calls}
    assert "gpustack" in libraries
    assert libraries - {"gpustack"}
    assert libraries <= {"gpustack", "numpy", "bottleneck", "astropy", "ccdproc"}


@pytest.mark.parametrize("case", [name for name in CASES if "clip" in name or name == "extrema"])
def test_clips_have_something_to_do(case, data_of):
    # 0.2% of the samples are outliers, so a call that clips nothing fails the comparison.
    cube = data_of(case).cube
    expected = CASES[case].truth(cube)
    with pytest.raises(DisagreementError, match="relative differences"):
        compare(np.nanmean(cube, axis=0), expected, PEER_TOLERANCE, readmits=True)


def test_convergence_is_more_than_one_pass(data_of):
    cube = data_of("clip-median-mad").cube
    once = CASES["clip-once"].truth(cube)
    with pytest.raises(DisagreementError, match="relative differences"):
        compare(once.image, CASES["clip-median-mad"].truth(cube), PEER_TOLERANCE, readmits=True)


def test_astropy_takes_rejected_samples_back_where_the_truth_says_so(data_of):
    data, case = data_of("clip-median-mad"), CASES["clip-median-mad"]
    call, expected = case.calls["astropy.sigma_clip"], case.truth(data.cube)
    answer = call.run(call.setup(data))
    assert 0 < check("astropy", call, answer, expected).left_out < MOST_LEFT_OUT
    with pytest.raises(DisagreementError, match="astropy: expected relative differences"):
        check("astropy", replace(call, readmits=False), answer, expected)


TRUTH = Truth(np.full((10, 10), 1000.0))


def spoilt(value):
    image = np.full((10, 10), 1000.0, np.float32)
    image[3, 4] = value
    return image


@pytest.mark.parametrize(
    "image",
    [spoilt(1000.1), spoilt(np.nan), spoilt(np.inf), np.full((10, 9), 1000.0)],
    ids=["off", "NaN", "inf", "shape"],
)
def test_a_wrong_image_is_found_out(image):
    with pytest.raises(DisagreementError, match=r"expected .*, got"):
        compare(image, TRUTH, PEER_TOLERANCE, readmits=False)


def test_only_so_many_pixels_may_be_left_out():
    close = np.zeros((10, 10), bool)
    close[3, 4] = True
    expected = Truth(TRUTH.image, close=close)
    assert compare(spoilt(5.0), expected, PEER_TOLERANCE, readmits=False).left_out == 0.01
    close[5] = True
    with pytest.raises(DisagreementError, match=r"in doubt, got 11\.0%"):
        compare(spoilt(5.0), expected, PEER_TOLERANCE, readmits=False)


def test_the_frames_are_the_same_at_every_run(tmp_path):
    make = partial(simulate, Kind(nan=0.01), 3, 50, 40, tmp_path)
    cube = make().cube
    np.testing.assert_array_equal(cube, make().cube)
    assert 0 < np.isnan(cube).mean() < 0.02
    assert not np.array_equal(cube[0], cube[1], equal_nan=True)
    with pytest.raises(ValueError, match="read-only"):
        cube[0] = 1


def tiny_run(tmp_path, *more):
    path = tmp_path / "results" / "tiny.json"
    size = ["--frames", "16", "--size", "70", "--json", str(path)]
    code = run.main([*size, *more])
    return code, json.loads(path.read_text()) if path.exists() else None


def test_a_run_writes_all_times_and_prints_ratios(tmp_path, capsys):
    code, results = tiny_run(tmp_path, "--case", "sum", "mean-u*", "--repeat", "2")
    assert code == 0
    assert [case["name"] for case in results["cases"]] == ["mean-uint16", "sum"]
    assert all(len(call["seconds"]) == 2 for case in results["cases"] for call in case["calls"])
    assert set(results["versions"]) >= {"python", "gpustack", "numpy", "astropy"}
    assert results["machine"]["cores"] >= 1
    assert results["settings"]["frames"] == 16
    assert "x fastest peer" in capsys.readouterr().out


def test_a_call_that_has_spent_its_budget_is_not_repeated(tmp_path):
    _, results = tiny_run(tmp_path, "--case", "sum", "--repeat", "3", "--budget", "1e-9")
    assert [len(call["seconds"]) for call in results["cases"][0]["calls"]] == [1] * 4


def test_chosen_libraries_run_beside_ours(tmp_path):
    _, results = tiny_run(tmp_path, "--case", "sum", "--repeat", "1", "--library", "numpy")
    names = [call["name"] for call in results["cases"][0]["calls"]]
    assert {library(name) for name in names} == {"numpy", "gpustack"}


def test_a_missing_peer_is_skipped_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "missing", {"numpy.sum": "numpy is not installed"}.get)
    code, results = tiny_run(tmp_path, "--case", "sum", "--repeat", "1")
    assert code == 0
    assert results["cases"][0]["skipped"] == {"numpy.sum": "numpy is not installed"}
    assert "numpy.sum: skipped, numpy is not installed." in capsys.readouterr().out


def test_an_unknown_case_is_refused(tmp_path, capsys):
    assert tiny_run(tmp_path, "--case", "mode") == (2, None)
    assert "expected one of median," in capsys.readouterr().err


def lying_case(lies):
    """A case whose call returns the answer of `lies`, and the shapes of cubes that it got."""
    true = CASES["sum"]
    seen = []

    def wrong(cube):
        seen.append(cube.shape)
        return lies(cube)

    return Case("sum", true.truth, {"numpy liar": Call(wrong)}), seen


def test_who_gives_a_wrong_answer_is_not_timed(tmp_path, monkeypatch, capsys):
    case, seen = lying_case(lambda cube: cube.max(axis=0))
    monkeypatch.setitem(CASES, "sum", case)
    assert tiny_run(tmp_path, "--case", "sum") == (1, None)
    assert seen == [(16, run.CHECK_ROWS, 70)]
    assert "numpy liar: expected relative differences" in capsys.readouterr().err


def test_an_answer_that_was_timed_is_looked_at_too(tmp_path, monkeypatch):
    def late(cube):
        return cube.sum(axis=0) * (1 if cube.shape[1] == run.CHECK_ROWS else 2)

    case, seen = lying_case(late)
    monkeypatch.setitem(CASES, "sum", case)
    assert tiny_run(tmp_path, "--case", "sum") == (1, None)
    assert len(seen) == 2


def call(name, *seconds):
    return {"name": name, "seconds": list(seconds), "cpu_seconds": list(seconds)}


RESULTS = {
    "cases": [
        {
            "name": "median",
            "title": "median (float32)",
            "calls": [
                call("numpy.median", 3.0),
                call("bottleneck.nanmedian", 2.5, 2.0, 1.5),
                call("ccdproc.Combiner", 10.0),
                call("gpustack.stack, image only", 0.2, 0.25, 0.9),
                call("gpustack.Combiner", 0.5),
            ],
            "skipped": {},
        }
    ]
}


def rows(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]


def test_the_speed_table_compares_medians_with_the_fastest_peer():
    text = table.speed_table(RESULTS).partition("\n\n")[2]
    assert rows(text)[0] == [
        "gpustack.stack, image only", "0.250", "0.200", "0.900", "3", "0.250", "8.00",
    ]  # fmt: skip
    assert [row[0] for row in rows(text)][2] == "bottleneck.nanmedian"
    assert [row[-1] for row in rows(text)] == ["8.00", "4.00", "1.00", "0.67", "0.20"]


def test_the_summary_names_the_fastest_peer_and_the_same_lines_of_ccdproc():
    (row,) = rows(table.summary_table(RESULTS))
    assert row[:5] == ["median (float32)", "bottleneck.nanmedian", "2.000", "0.250", "8.00"]
    assert row[5:] == ["10.000", "0.500", "20.00"]


def test_the_excerpt_is_of_cases_that_exist():
    assert set(table.CHOSEN) < set(CASES)
    other = {"cases": [*RESULTS["cases"], {"name": "not chosen"}]}
    assert table.excerpt_table(other) == table.summary_table(RESULTS)


def test_the_goals_say_what_was_reached():
    assert [row[-3:] for row in rows(table.goals_table(RESULTS))] == [
        ["8", "8.00", "yes"],
        ["50", "20.00", "no"],
    ]


def test_goals_are_about_calls_that_exist():
    for goal in table.GOALS:
        calls = CASES[goal.case].calls
        assert goal.ours in calls
        assert is_gpustack(goal.ours)
        assert goal.peer is None or goal.peer in calls


def test_tables_go_between_their_markers(tmp_path, capsys):
    path, page, made = (tmp_path / name for name in ("speed.json", "page.md", "made.md"))
    path.write_text(json.dumps({"what": "speed", **RESULTS}))
    block = "<!-- bench: {} -->\nold\n<!-- /bench -->\n"
    page.write_text(f"before\n{block.format('goals')}between\n{block.format('memory')}after\n")
    assert table.main([str(path), "--into", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- bench: goals -->\n\n| work")
    assert text.endswith(f"<!-- /bench -->\nbetween\n{block.format('memory')}after\n")
    assert text.count("old") == 1
    table.main([str(path), "--into", str(page)])
    assert page.read_text() == text
    assert not capsys.readouterr().out
    assert not made.exists()


def test_two_files_of_one_benchmark_are_refused(tmp_path, capsys):
    """``NAME*.json`` also matches the files of other machines, whose names begin with NAME."""
    page, paths = tmp_path / "page.md", [tmp_path / f"{name}.json" for name in ("a", "a-b")]
    for path in paths:
        path.write_text(json.dumps({"what": "speed", **RESULTS}))
    assert table.main([*map(str, paths), "--into", str(page)]) == 2
    assert not page.exists()
    error = capsys.readouterr().err
    assert f"expected one file with results of speed, got {paths[0]} and {paths[1]}" in error


def test_a_new_page_has_all_tables(tmp_path):
    results = tmp_path / "results"
    tiny_run(tmp_path, "--case", "sum", "--repeat", "1")
    sort = ["--frames", "4", "8", "--pixels", "50", "--repeat", "1"]
    assert sorting.main([*sort, "--json", str(results / "sorting.json")]) == 0
    page = tmp_path / "benchmarks.md"
    table.main([*map(str, results.glob("*.json")), "--into", str(page)])
    text = page.read_text()
    for name, (heading, _, _) in table.TABLES.items():
        assert (f"## {heading}\n\n<!-- bench: {name} -->\n" in text) == bool(heading)
    assert "16 of 70 x 70 pixels" in text
    assert "The network is faster up to int16: " in text


def test_the_crossover_is_before_the_first_loss():
    found = [("float32", 4, 1.0, 2.0), ("float32", 8, 2.0, 2.0), ("float32", 16, 3.0, 2.0)]
    found += [("float32", 32, 1.0, 2.0), ("float64", 4, 3.0, 2.0)]
    names = ("dtype", "frames", "network", "sort")
    compared = [dict(zip(names, row, strict=True)) for row in found]
    assert sorting.crossover(compared) == {"float32": 8, "float64": 0}


needs_proc = pytest.mark.skipif(
    not memory.can_measure(), reason="peak memory is measured by /proc/self/clear_refs"
)


@needs_proc
def test_a_peak_is_what_a_call_allocates(monkeypatch):
    # One array of 8 bytes per sample is allocated and freed again, and one image is returned.
    def hungry(data: Data):
        return (data.cube * np.float64(2))[0].copy()

    case = Case("twice", CASES["sum"].truth, {"numpy hungry": Call(hungry, lambda data: data)})
    monkeypatch.setitem(CASES, "hungry", case)
    found = memory.measure("hungry", "numpy hungry", 8, 512)
    frames, image = 8 * 512 * 512 * 4, 512 * 512 * 8
    assert found["frames"] == frames
    assert found["outputs"] == image
    # Each of the two arrays is rounded up to huge pages of 2 MiB.
    assert 2 * frames <= found["peak"] <= 2 * frames + image + 2 * 2**21
    assert found["overhead"] == found["peak"] - image


@needs_proc
def test_memory_is_measured_in_a_process_of_its_own():
    found = memory.measure_apart("median", "gpustack.Combiner", 5, 32)
    assert found["case"] == "median"
    assert found["outputs"] == 32 * 32 * (8 + 8 + 1)


def test_memory_runs_are_calls_that_exist():
    assert all(name in CASES[case].calls for case, name in memory.RUNS)


def test_bytes_of_a_file_are_those_of_its_arrays(data_of):
    data, call = data_of("files-median"), CASES["files-median"].calls["gpustack.stack"]
    path = call.run(call.setup(data))
    assert isinstance(path, Path)
    assert memory.bytes_of(path) == ROWS * WIDTH * (4 + 1 + 4)
