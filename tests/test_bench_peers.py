"""The benchmark of whole programs: which times are accepted, errors, and the resulting tables.

No test depends on how long something takes. Installed programs run on tiny frames.
"""

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import programs_here
from bench import frames_on_disk, methods, peers, peers_tables, programs, table, truth
from bench.frames_on_disk import NAME, Group, made, write
from bench.methods import ALGORITHMS, METHODS, Method, Way
from bench.parity import siril
from bench.process import Invocation
from bench.programs import OURS, PROGRAMS, Program

#: Enough frames for clips to reject something.
GROUP = Group("float32", 25, 64)
ALL = METHODS | ALGORITHMS
ASKED = [
    (name, program)
    for name, method in ALL.items()
    for program in PROGRAMS
    # "started" gets the same arguments as another program, so one method is enough.
    if PROGRAMS[program].method_key in method.ways and (program != "started" or name == "sigma")
]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return write(GROUP, tmp_path_factory.mktemp("given"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    # An even number, so that medians of integers are between two samples.
    return write(Group("uint16", 16, 64), tmp_path_factory.mktemp("whole"))


#: The right answers, computed once for each definition.
truths = cache(peers.truths)


def call_of(name, program, given):
    if PROGRAMS[program].version() is None:
        pytest.skip(f"{program} is not installed")
    call, way = peers.Call(program), ALL[name].ways[PROGRAMS[program].method_key]
    peers.once(PROGRAMS[program], way, call, given, truths(given), 2)
    return call


@pytest.mark.parametrize(("name", "program"), ASKED, ids=map(" ".join, ASKED))
def test_a_program_gives_the_answer_of_its_definition(name, program, given, monkeypatch):
    """gpustack and scripts run in this process; the test of integers starts each as a process."""
    monkeypatch.setattr(peers, "measure", programs_here.measure)
    call = call_of(name, program, given)
    assert call.why == ("" if call.state == "timed" else ALL[name].ways[program].why)
    assert call.state == ("not checked" if (name, program) == ("siril g", "siril") else "timed")
    assert len(call.seconds) == len(call.cpu_seconds) == len(call.peak) == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_gives_the_median_of_integers(program, whole):
    assert call_of("median", program, whole).state == "timed"


def test_every_method_has_us_and_a_peer_whose_answer_is_checked():
    for method in ALL.values():
        assert method.ways["gpustack"].truth is not None
        assert set(method.ways) - {"gpustack"}
        assert all(way.truth is not None or way.why for way in method.ways.values())
        assert all(not way.may_differ or way.why for way in method.ways.values())
        assert method.ways["gpustack"].may_differ == 0


def test_frames_are_the_same_for_all(given, whole):
    for frames, factor in ((given, siril.UNIT), (whole, 1)):
        n = frames.group.frames
        for i in (0, n - 1):
            data = fits.getdata(frames.paths[i])
            theirs = fits.getdata(frames.siril / NAME.format(i + 1))
            np.testing.assert_array_equal(data, theirs * data.dtype.type(factor))
            np.testing.assert_array_equal(data[frames.rows], frames.samples[i])
        assert len((frames.folder / "list").read_text().split()) == n
    assert given.rows[0] == 0
    assert given.rows[-1] == GROUP.size - 1


def test_frames_that_find_no_room_are_refused_and_leave_nothing(tmp_path):
    with (
        pytest.raises(OSError, match=r"expected 3.+ GB of free space in .*, got"),
        made(Group("float32", 10**6, 2048 * 10), tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())


COPY = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"


def fake(name, factor=1.0, code=COPY):
    """A program that starts fast and writes the mean times `factor`, right if that is 1."""

    def invoke(words, given, threads):
        mean = np.mean([fits.getdata(path) for path in given.paths], axis=0)
        files = [str(given.folder / f"{part}.fits") for part in ("mean", "out")]
        fits.writeto(files[0], mean * factor, overwrite=True)
        return Invocation([sys.executable, "-IS", "-c", code, *files], given.folder)

    return Program(name, lambda: "1.0", invoke, "out.fits", name)


@pytest.fixture
def fakes(monkeypatch):
    """Five programs: gpustack and one more are right, one is wrong, one fails, one is missing."""
    made_up = {
        "gpustack": fake("gpustack"),
        "right": fake("right"),
        "liar": fake("liar", 1.0001),
        "broken": fake("broken", code=f"{COPY}; raise SystemExit('no licence')"),
        "away": Program("Away", lambda: None, fake("away").invoke, "out.fits", "away"),
    }
    for place in (peers, peers_tables, programs):
        monkeypatch.setattr(place, "PROGRAMS", made_up)
    ways = {name: Way((), truth.mean) for name in made_up}
    monkeypatch.setattr(peers, "METHODS", {"mean": Method("mean", ways)})
    return made_up


def tiny_run(tmp_path, *more):
    path = tmp_path / "tiny.json"
    words = ["--frames", "3", "--size", "64", "--dtype", "uint16", "--part", "programs"]
    words += ["--runs", "2", "--budget", "1e9", "--longest", "1e9"]  # no test depends on times
    code = peers.main([*words, "--json", str(path), *more])
    results = json.loads(path.read_text())
    return code, results, {c["program"]: c for c in results["groups"][0]["methods"][0]["calls"]}


def test_times_of_wrong_answers_are_not_believed(fakes, tmp_path, capsys):
    code, results, calls = tiny_run(tmp_path)
    assert code == 1
    states = {name: (call["state"], len(call["seconds"])) for name, call in calls.items()}
    timed, wrong = ("timed", 2), ("wrong", 0)
    expected = {"gpustack": timed, "right": timed, "liar": wrong, "broken": ("failed", 0)}
    assert states == expected
    assert "expected relative differences <= 1e-05, got 0.0001" in calls["liar"]["why"]
    assert "no licence" in calls["broken"]["why"]
    assert results["skipped"] == {"away": "Away is not installed; see bench/install-peers.sh"}
    assert "liar, mean: wrong" in capsys.readouterr().err


def test_an_unknown_method_is_refused(tmp_path, capsys):
    assert peers.main(["--method", "mode", "--json", str(tmp_path / "none.json")]) == 2
    assert "expected some of median, mean, sigma" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_was_measured_is_kept_when_room_runs_out(fakes, tmp_path, monkeypatch, capsys):
    disk = [10**9, 0]

    class Usage:
        @property
        def free(self):
            return disk.pop(0)

    monkeypatch.setattr(frames_on_disk.shutil, "disk_usage", lambda folder: Usage())
    code, results, _ = tiny_run(tmp_path, "--program", "right", "--frames", "3", "4")
    assert code == 2
    assert [group["frames"] for group in results["groups"]] == [3]
    assert "GB of free space" in capsys.readouterr().err


def test_programs_are_chosen_and_we_always_run(fakes, tmp_path):
    code, results, calls = tiny_run(tmp_path, "--program", "right")
    assert code == 0
    assert list(calls) == ["gpustack", "right"]
    assert results["versions"]["right"] == "1.0"
    assert results["settings"]["threads"] == 2


def test_who_has_spent_the_budget_is_not_repeated(fakes, tmp_path):
    _, _, calls = tiny_run(tmp_path, "--program", "right", "--runs", "4", "--budget", "1e-9")
    assert [len(call["seconds"]) for call in calls.values()] == [1, 1]


def test_who_must_take_too_long_is_not_run(fakes, tmp_path, capsys):
    _, results, _ = tiny_run(
        tmp_path, "--program", "right", "--frames", "3", "6", "--longest", "1e-9"
    )
    first, second = ({c["program"]: c for c in g["methods"][0]["calls"]} for g in results["groups"])
    assert first["right"]["state"] == "timed"
    assert second["right"]["state"] == "not run"
    assert "expected" in second["right"]["why"]
    assert "s expected" in capsys.readouterr().out


def test_turns_alternate(fakes, monkeypatch, tmp_path):
    seen = []

    def once(program, way, call, *more):
        seen.append(program.title)
        call.count(peers.Measured(0, 0.1, 0.1, 1, ""))

    monkeypatch.setattr(peers, "once", once)
    tiny_run(tmp_path, "--program", "right", "liar", "--runs", "3")
    order = ["gpustack", "right", "liar"]
    assert seen == order + order[::-1] + order


def test_what_is_expected_grows_with_the_samples():
    history = peers.History()
    assert history.expected("a", "median", 10) == 0
    history.add("a", "median", 2.0, 100)
    assert history.expected("a", "median", 250) == 5.0
    assert history.expected("a", "mean", 250) == 0


def test_only_so_many_pixels_may_be_otherwise(given):
    class Answers:
        tolerance = 1e-5

        def __init__(self, image):
            self.image = image

        def answer(self, given):
            return self.image

    expected = truth.mean(given.samples)
    image = expected.image.copy()
    image[:2] *= 2
    share = 2 / len(image)
    found = peers.agreement(Answers(image), Way((), None, share), given, expected)
    assert found.left_out == share
    for less in (0.0, share / 2):
        with pytest.raises(truth.DisagreementError):
            peers.agreement(Answers(image), Way((), None, less), given, expected)
    image[5, 5] = np.nan
    with pytest.raises(truth.DisagreementError):
        peers.agreement(Answers(image), Way((), None, share), given, expected)


def test_definitions_of_iraf_and_siril_are_about_median_and_mean():
    column = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 40])[:, None, None]
    spreads = {"center": np.sqrt(((column - 5.5) ** 2).sum() / 11), "mean": column.std(ddof=1)}
    assert spreads["center"] > spreads["mean"]
    # The outlier is 34.5 from the median: 3.1 times the one spread and 3.5 times the other.
    for about, spread in spreads.items():
        kept = column[np.abs(column - 5.5) <= 3 * spread].mean()
        found = truth.deviation_clipped_mean(about)(column).image[0, 0]
        np.testing.assert_allclose(found, kept, rtol=1e-12)


def call(program, *seconds, peak=50, state="timed", why=""):
    found = {"program": program, "seconds": list(seconds), "cpu_seconds": list(seconds)}
    return found | {"peak": [peak * 10**6] * len(seconds), "state": state, "why": why}


def group(part, frames, *calls, size=2048, name="median"):
    method = {"method": name, "title": name, "calls": list(calls)}
    return {"part": part, "dtype": "float32", "frames": frames, "size": size, "methods": [method]}


def results_of(*groups):
    machine = {"cpu": "a processor", "load_before": 0.1}
    settings = {"size": 2048, "threads": 2}
    known = {"machine": machine, "settings": settings, "versions": {"iraf": "2.17"}}
    return {"what": "programs", "groups": list(groups), "skipped": {}, **known}


def rows(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]


def test_the_tables_show_medians_and_what_became_of_calls():
    text = peers_tables.programs_table(
        results_of(
            group(
                "programs",
                25,
                call("gpustack", 1.0, 3.0, 1.5),
                call("iraf", 4.0),
                call("siril", state="wrong", why="expected so, got otherwise"),
                call("gnuastro", 2.0, state="not checked", why="another definition"),
                call("swarp", state="not run", why="50 s expected"),
            )
        )
    )
    seconds = text.split("\n\n")[1]
    assert rows(seconds) == [
        [
            "25 x 2048²", "float32", "median", "1.50 (1.00-3.00)", "4.00", "wrong",
            "2.00 not checked", "50 s expected",
        ]
    ]  # fmt: skip
    assert "Siril, 25 x 2048², float32, median: wrong, expected so, got otherwise" in text
    assert "a processor, 2 threads, load before it 0.1; iraf 2.17." in text


def test_the_goals_are_about_the_fastest_and_the_smallest_peer():
    ours, slow = call("gpustack", 1.0, peak=70), call("iraf", 9.0, peak=40)
    text = peers_tables.goals_table(
        results_of(
            group("programs", 25, ours, slow, call("siril", 2.0, peak=80)),
            group("programs", 100, ours, slow, call("siril", 3.9, peak=80)),
            group("programs", 25, ours, slow, size=512),
            group("memory", 40, ours, call("siril", 3.0, peak=80), size=4096),
            group("programs", 10, call("gpustack", state="wrong"), slow),
        )
    )
    assert [row[3:] for row in rows(text)] == [
        ["Siril", "2.00", "2", "yes", "70", "40 IRAF", "no"],
        ["Siril", "3.90", "4", "no", "70", "40 IRAF", "no"],
        ["Siril", "3.00", "", "", "70", "80 Siril", "yes"],
    ]


def test_the_excerpt_has_medians_of_large_frames_alone():
    ours, slow = call("gpustack", 1.0, 3.0, 1.5), call("iraf", state="not run", why="50 s expected")
    text = peers_tables.excerpt_table(
        results_of(
            group("programs", 25, ours, slow, call("started", 0.1)),
            group("programs", 25, ours, size=512),
            group("programs", 10, ours),
            group("memory", 100, ours),
        )
    )
    assert rows(text) == [["25", "median", "1.50", "50 s expected", "-", "-", "-", "-", "-"]]


def test_the_algorithms_are_compared_with_whose_they_are():
    text = peers_tables.algorithms_table(
        results_of(
            group("algorithms", 25, call("gpustack", 1.0), call("siril", 2.0), name="siril s"),
            group("algorithms", 25, call("gpustack", 1.0), call("siril", 0.5), name="siril m"),
            group("algorithms", 25, call("gpustack", 1.0), name="siril g"),
        )
    )
    table_text = text.split("\n\n")[0]
    assert [row[2:] for row in rows(table_text)] == [
        ["2.00", "1.00", "-", "2.00", "yes"],
        ["0.50", "1.00", "-", "0.50", "no"],
        ["-", "1.00", "-", "", ""],
    ]


def test_the_curve_finds_what_times_were_made_of():
    sizes = ((25, 512), (25, 1024), (10, 2048), (25, 2048), (100, 2048))
    groups = [
        group("programs", n, call("iraf", 0.5 + 0.01 * n + 3e-9 * n * size**2), size=size)
        for n, size in sizes
    ]
    (row,) = rows(peers_tables.curve_table(results_of(*groups)))
    assert row[2:] == ["IRAF", "0.50", "10.0", "3.00", "0%"]
    assert peers_tables.curve_table(results_of(*groups[:2])) == ""


def test_a_block_without_results_of_its_part_stays(tmp_path):
    path, page = tmp_path / "r.json", tmp_path / "page.md"
    block = "<!-- bench: {} -->\nold\n<!-- /bench -->\n"
    page.write_text(block.format("programs-memory") + block.format("algorithms"))
    calls = call("gpustack", 1.0), call("siril", 2.0)
    path.write_text(json.dumps(results_of(group("memory", 40, *calls))))
    assert table.main([str(path), "--into", str(page)]) == 0
    text = page.read_text()
    assert "Peak memory" in text
    assert block.format("algorithms") in text


def test_the_pages_have_a_place_for_every_table():
    root = Path(__file__).parents[1]
    readme = (root / "README.md").read_text()
    pages = "".join((root / "docs" / f"benchmarks{of}.md").read_text() for of in ("", "-epyc"))
    for name, (heading, what, _) in table.TABLES.items():
        if what == "programs":
            assert f"<!-- bench: {name} -->" in (pages if heading else readme)


def test_all_programs_can_be_asked_for_something():
    asked = {program for method in methods.METHODS.values() for program in method.ways}
    assert asked == {program.method_key for program in PROGRAMS.values()}
    assert set(OURS) < set(PROGRAMS)
