"""The report page and the preview, on the command line and in a browser."""

import errno
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import chromium
from gpustack import AvgSigmaClip, InputError, Offsets, SigmaClip, stack, write_page, write_preview
from gpustack.cli import cli
from gpustack.errors import GpustackWarning, MissingPackageError, OutputError
from gpustack.provenance import read_report
from gpustack.replay import replay
from webpage import Checked

pytest.importorskip("matplotlib", reason="pictures need the extra plot")

#: A hostile name, which nobody would choose but a file from an archive may have.
HOSTILE = "<script>alert(1)</script>&\"'<img src=x onerror=alert(2)>"
WORDS = ("--clip", "sigma:low=4,high=4,spread=mad_std", "--scale", "median")


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A folder with frames, one of which has a hostile name, and one is twice as bright."""
    folder, rng = tmp_path_factory.mktemp("a-name-without-a-space-" * 4), np.random.default_rng(11)
    for i in range(7):
        data = rng.normal(500, 8, (450, 500)).astype("f4")
        data[rng.random(data.shape) < 0.003] += 400
        if i == 5:
            data *= 2
        header = fits.Header({"BUNIT": "adu", "OBJECT": "<b>M 13</b>"})
        name = HOSTILE.replace("/", "") if i == 3 else f"m{i}"
        fits.writeto(folder / f"{name}.fits", data, header)
    return folder


def combine(folder, *words):
    done = CliRunner().invoke(cli, ["combine", str(folder / "*.fits"), *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def page(night, tmp_path_factory):
    """The path of the report page of these frames."""
    out = tmp_path_factory.mktemp("out")
    words = (*WORDS, "-o", str(out / "a.fits"), "--report", str(out / "a.html"))
    combine(night, *words, "--preview", str(out / "a.png"), "--report", str(out / "a.json"))
    return out / "a.html"


@pytest.fixture(scope="module")
def checked(page):
    return Checked(page.read_text(encoding="utf-8"))


def test_a_page_is_well_formed_and_needs_no_other_files(checked):
    for tag, attrs in checked.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "srcset"):
            assert attrs.get(name, "data:").startswith(("data:", "#"))
    style = "".join(checked.text)
    assert "url(" not in style
    assert "@import" not in style


def test_each_picture_has_data_and_says_what_it_is(checked):
    images = [attrs for tag, attrs in checked.tags if tag == "img"]
    assert len(images) == 8
    for attrs in images:
        assert attrs["src"].startswith("data:image/png;base64,iVBOR")
        assert re.match(r"(Stack|Plain mean|Count|Rejected): (The whole|Its middle)", attrs["alt"])
    assert sum(tag == "svg" and attrs["role"] == "img" for tag, attrs in checked.tags) == 2


def test_what_files_and_headers_say_is_text(checked):
    text = "".join(checked.text)
    assert HOSTILE.replace("/", "") in text
    assert "<b>M 13</b>" in text
    assert text.count("a-name-without") == 4, "the folder of all stands where numbers come from"
    assert not any(tag == "b" or attrs.get("src") == "x" for tag, attrs in checked.tags)


def test_a_page_tells_what_was_done(checked):
    text = "".join(checked.text)
    for words in (
        "For each frame, multiply by its scale.",
        "Reject samples more than 4 robust deviations (1.4826 MAD) from the median",
        "Take the mean of the remaining samples.",
        "scale by median, relative to",
        "7 frames of 500 x 450 pixels, adu",
        "Read and combine",
        "Write the result",
        "every 2nd pixel",
        "With the backend cpu",
    ):
        assert words in text
    assert "Align" not in text, "they were not"
    assert re.search(r"noise[\d.]+ \N{MULTIPLICATION SIGN} \N{GREEK SMALL LETTER SIGMA}/√n", text)
    marks = [i for i, (tag, _) in enumerate(checked.tags) if tag == "mark"]
    assert len(marks) == 2, "the scale of the frame that is twice as bright, and that word"


def test_what_is_out_of_line_is_called_as_its_column(tmp_path):
    data = np.random.default_rng(1).normal(500, 8, (9, 200, 200)).astype("f4")
    data[4, 100:120] += 200
    result = stack(list(data), SigmaClip(4, 4, spread="mad_std"), look=True)
    write_page(result, tmp_path / "a.html")
    text = Checked((tmp_path / "a.html").read_text(encoding="utf-8")).text
    assert text.count("rejected high") == 2, "the head of the column, and the cell of a frame"
    assert not {"high", "low"} & {*text}


def test_the_preview_is_a_png(page):
    assert page.with_suffix(".png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_report_of_each_kind_at_once(page):
    report = read_report(page.with_suffix(".json"))
    assert report["output"]["path"].endswith("a.fits")
    again = replay(page.with_suffix(".json"), page.with_name("again.fits"))
    assert again.verdict == "the same bytes"


def test_folders_hold_nothing_else(page):
    names = {path.name for path in page.parent.iterdir()}
    assert names - {"again.fits"} == {"a.fits", "a.html", "a.json", "a.png"}


AT_WORKERS = ["--dask", "tcp://127.0.0.1:9"]
REFUSED = {
    "preview, dask": (
        ["--preview", "a.png", *AT_WORKERS],
        InputError,
        r"--preview a\.png: expected none with --dask, as",
    ),
    "report, dask": (
        ["--report", "a.html", *AT_WORKERS],
        InputError,
        r"--report a\.html: expected none with --dask, as",
    ),
    "preview": (["--preview", "a.jpg"], OutputError, r"a\.jpg: expected a name ending in \.png"),
    "report": (["--report", "a.txt"], OutputError, r"expected a name ending in \.json, \.html"),
    "two": (["--report", "a.html", "--report", "b.html"], OutputError, "one report in html, got a"),
    "there": (["--preview", "there.png"], OutputError, r"there\.png: exists"),
}


@pytest.mark.parametrize(("words", "kind", "match"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_before_the_work(night, tmp_path, monkeypatch, words, kind, match):
    monkeypatch.chdir(tmp_path)
    Path("there.png").touch()
    with pytest.raises(kind, match=match):
        combine(night, "-o", "out.fits", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]


@pytest.mark.parametrize("words", [["--preview", "a.png"], ["--report", "a.html"]])
def test_without_matplotlib_it_says_so_before_the_work(night, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"pip install matplotlib .*gpustack\[plot\]"):
        combine(night, "-o", "out.fits", *words)
    combine(night, "-o", "out.fits", "--report", "a.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "out.fits"]


ODD = {
    "one frame": (np.ones((1, 9, 9)), {}),
    "one row": (np.random.default_rng(1).random((6, 1, 900)), {}),
    "nothing valid": (np.full((3, 9, 9), np.nan), {}),
    "no noise": (np.ones((6, 20, 30)), {}),
    "planes": (np.random.default_rng(1).random((4, 3, 20, 30)), {}),
    "one axis": (list(np.random.default_rng(1).random((6, 900))), {}),
    "a row's noise": (np.random.default_rng(1).random((9, 20, 30)), {"clips": AvgSigmaClip()}),
    "max": (np.random.default_rng(1).random((4, 20, 30)), {"combine": "max"}),
    "sample weights": (np.ones((3, 9, 9)), {"weights": np.ones((3, 9, 9))}),
    "high, no noise": (np.full((5, 9, 9), -1e20, "f4"), {}),
    "high, one sample off": (np.where(np.arange(405).reshape(5, 9, 9) == 7, 1e17 + 99, 1e17), {}),
    "huge": (np.random.default_rng(1).normal(0, 1e30, (5, 9, 9)), {}),
}


@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
@pytest.mark.parametrize(("n", "told"), [(1, "one frame has none, as the"), (3, "these samples")])
def test_why_there_are_no_residuals(tmp_path, n, told):
    noise = np.random.default_rng(1).normal(500, 8, (1, 20, 30))
    write_page(stack(np.repeat(noise, n, axis=0), look=True), tmp_path / "a.html")
    text = "".join(Checked((tmp_path / "a.html").read_text(encoding="utf-8")).text)
    assert f"Residuals: {told}" in text
    assert "no noise" not in text


@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
@pytest.mark.parametrize(("data", "words"), ODD.values(), ids=ODD)
def test_pages_of_odd_stacks(tmp_path, data, words):
    result = stack(data, **({"clips": SigmaClip(1, 1)} | words), look=True)
    write_page(result, tmp_path / "a.html", name="odd")
    text = "".join(Checked((tmp_path / "a.html").read_text(encoding="utf-8")).text)
    assert "nan" not in text.replace("NaN or infinite", "")
    write_preview(result, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_names_that_are_no_text_and_cards_without_a_value(tmp_path):
    name = os.fsdecode(b"m\xff.fits")
    try:
        (tmp_path / name).touch()
    except OSError as err:
        if err.errno != errno.EILSEQ:
            raise
        pytest.skip("this file system takes text alone")
    for i in (0, 1):
        card = fits.Header([("BUNIT", "adu"), ("OBJECT", None), ("FILTER", 3)])
        fits.writeto(tmp_path / f"{i}{name}", np.ones((4, 4)), card)
    result = stack([str(tmp_path / f"{i}{name}") for i in (0, 1)], look=True)
    write_page(result, tmp_path / "a.html", name=name)
    text = "".join(Checked((tmp_path / "a.html").read_text(encoding="utf-8")).text)
    assert r"0m\udcff.fits" in text
    assert "Undefined" not in text


def test_frames_that_were_left_out(tmp_path):
    header = fits.Header({"BUNIT": "adu", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    header.update({"CRVAL1": 10.0, "CRVAL2": 20.0, "CDELT1": -1e-4, "CDELT2": 1e-4})
    for i in range(6):
        data = np.random.default_rng(i).normal(100, 5, (60, 50)).astype("f4")
        bare = fits.Header({"BUNIT": "adu"})
        fits.writeto(tmp_path / f"{i}.fits", data, bare if i == 4 else header)
    out = str(tmp_path / "out.fits"), "--align", "wcs", "--skip-unaligned"
    with pytest.warns(GpustackWarning, match="left out"):
        combine(tmp_path, *WORDS[:2], "-o", *out, "--report", str(tmp_path / "a.html"))
    page = Checked((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "All 5 frames" in "".join(page.text)
    assert not any(tag == "mark" for tag, _ in page.tags), "it is not out of line: it is not there"


def test_overwrite(tmp_path):
    result = stack(np.ones((3, 9, 9)), look=True)
    for write, name in ((write_page, "a.html"), (write_preview, "a.png")):
        write(result, tmp_path / name)
        with pytest.raises(OutputError, match="exists"):
            write(result, tmp_path / name)
        write(result, tmp_path / name, overwrite=True)
        with pytest.raises(OutputError, match="expected a name ending in"):
            write(result, tmp_path / "a.fits")


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium.found() is None:
        pytest.skip("no Chromium here: pages are not looked at")
    with chromium.opened(tmp_path_factory.mktemp("chromium")) as shown:
        yield shown


#: Expressions for elements wider than the window that do not scroll, letters too small to read, and
#: pictures that are not drawn.
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(one => !one.closest('.scroll table')
    && one.getBoundingClientRect().right > WIDTH + 1).map(one => one.outerHTML.slice(0, 80))"""
TOO_SMALL = """[...document.querySelectorAll('body *')].filter(one => [...one.childNodes].some(
    node => node.nodeType == 3 && node.data.trim())).map(one => parseFloat(
    getComputedStyle(one).fontSize) * (one.ownerSVGElement ? one.ownerSVGElement.clientWidth
    / one.ownerSVGElement.viewBox.baseVal.width : 1)).filter(size => size < 9.5)"""
NOT_DRAWN = """[...document.images].filter(one => !one.complete || !one.naturalWidth
    || one.clientWidth < 100 || one.clientHeight < 50).map(one => one.alt)"""
FAINT = """(() => { const lum = c => { const v = c.match(/[0-9.]+/g).slice(0, 3).map(x => x / 255)
    .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2] };
    const paper = lum(getComputedStyle(document.body).backgroundColor);
    return [...document.querySelectorAll('p, h1, h2, h3, li, dd, dt, small')].filter(one => {
      const ink = lum(getComputedStyle(one).color);
      return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) < 4.5
    }).map(one => one.textContent) })()"""


OVERLAPPING = """[...document.querySelectorAll('svg')].flatMap(svg => {
    const texts = [...svg.querySelectorAll('text')].map(one => one.getBoundingClientRect());
    return texts.flatMap((a, i) => texts.slice(i + 1).filter(b => a.left < b.right
      && b.left < a.right && a.top < b.bottom && b.top < a.bottom).map(b => [a.left, b.left]))
})"""


@pytest.mark.parametrize("scale", [1e-4, 1, 1e22, 1e99])
def test_numbers_and_titles_of_charts_do_not_overlap(browser, tmp_path, scale):
    data = np.random.default_rng(1).normal(500, 8, (9, 60, 200)) * scale
    write_page(stack(data, look=True), tmp_path / "a.html")
    for width in (400, 1400):
        browser.open(tmp_path / "a.html", width)
        assert browser.run(OVERLAPPING) == []


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A page of frames with long names, the last twice as bright, and the names."""
    folder, rng = tmp_path_factory.mktemp("many"), np.random.default_rng(1)
    names = [str(folder / f"{'a-long-name-of-an-exposure-' * 4}{f:02}.fits") for f in range(20)]
    for f, name in enumerate(names):
        data = rng.normal(500, 8, (40, 50)).astype("f4") * (1 + (f == 19))
        fits.writeto(name, data, fits.Header({"BUNIT": "adu"}))
    write_page(stack(names, scale="median", look=True), folder / "a.html")
    return folder / "a.html", names


def test_how_many_frames_there_are_and_which_are_out_of_line_is_said_above(many):
    path, names = many
    checked = Checked(path.read_text(encoding="utf-8"))
    text = "".join(checked.text)
    assert "20 frames; the table scrolls." in text
    assert f"Out of line: {Path(names[19]).name} (scale)." in text
    assert [attrs["href"] for tag, attrs in checked.tags if tag == "a"] == ["#row19"]
    titles = [attrs["title"] for tag, attrs in checked.tags if tag == "th" and "title" in attrs]
    assert titles == names


#: The cells of the first row of the table that are visible.
IN_SIGHT = """(() => { const box = document.querySelector('.scroll').getBoundingClientRect();
    return [...document.querySelectorAll('#row0 > *')].filter(
      one => one.getBoundingClientRect().right <= box.right).map(one => one.textContent) })()"""
#: Whether the row of a frame, after its link was followed, is between the head and the end.
FOLLOWED = """(() => { document.querySelector('a[href="#row19"]').click();
    const at = one => document.querySelector(one).getBoundingClientRect();
    return at('thead th').bottom <= at('#row19').top + 1
      && at('#row19').bottom <= at('.scroll').bottom + 1 })()"""


@pytest.mark.parametrize(("width", "cells"), [(400, 3), (1400, 10)])
def test_numbers_beside_long_names_are_in_sight(browser, many, width, cells):
    browser.open(many[0], width)
    found = browser.run(IN_SIGHT)
    assert found[0] == Path(many[1][0]).name
    assert found[2] == "1", "its scale"
    assert len(found) >= cells
    assert browser.run(FOLLOWED)
    assert browser.run("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_in_a_browser(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]
    assert browser.run("document.images.length") == 8
    assert browser.run(NOT_DRAWN) == []
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run(TOO_WIDE.replace("WIDTH", str(width))) == []
    assert browser.run(TOO_SMALL) == []
    assert browser.run(FAINT) == []
    grid = "getComputedStyle(document.querySelector('.pictures')).gridTemplateColumns"
    assert len(browser.run(grid).split()) == (1 if width == 400 else 4)


def test_complaints_of_a_page_are_heard(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<script>console.error('bad'); nothing()</script><img src='none.png'>")
    browser.open(bad, 400)
    kinds = [event["method"] for event in browser.complaints]
    assert {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"} <= set(kinds)
    assert browser.run(NOT_DRAWN) == [""]


def test_frames_that_are_left_out_are_told_of(tmp_path):
    rng, frames = np.random.default_rng(2), []
    for _ in range(3):
        plane = rng.normal(500, 8, (60, 60))
        plane[:30] = np.nan  # so the fraction of rejected samples is that of the valid ones
        frames.append(plane)
    with pytest.warns(GpustackWarning, match="frame 1: left out"):
        result = stack(
            frames,
            SigmaClip(None, 0.6, spread="mad_std"),
            align=Offsets([(0, 0), (900, 0), (0, 1)], "reference"),
            look=True,
        )
    write_page(result, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "2 frames of 60 x 60 pixels" in text
    assert "<dt>frames left out</dt><dd>1</dd>" in text
    assert "<li>frame 1: none of its pixels are on the grid" in text
    assert f"<dd>{100 * result.rejected:.2g} %</dd>" in text
    assert re.search("<th[^>]*>dx</th>", text)


def test_a_page_of_numbers_beyond_floats(tmp_path):
    frames = np.random.default_rng(2).normal(1, 0.1, (5, 20, 20)) * 1e300
    write_page(stack(frames, look=True), tmp_path / "page.html")
    assert (tmp_path / "page.html").is_file()
