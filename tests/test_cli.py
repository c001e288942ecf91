"""The command line: what it writes, its messages and its exit codes."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import gpustack
from gpustack import SigmaClip, stack
from gpustack.alignments import ALIGNMENTS, as_alignment
from gpustack.cli import cli, main
from gpustack.cli.shown import loudness_options, progress_bar, summary
from gpustack.clips import CLIPS, parse_clip
from gpustack.combines import METHODS, NoiseModel, as_combine
from gpustack.errors import InputError, WriteError
from gpustack.header import read_recipe


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with five frames, which is the current folder."""
    rng = np.random.default_rng(5)
    for i in range(5):
        plane = rng.normal(100, 5, (12, 10)).astype(np.float32)
        fits.writeto(tmp_path / f"m{i}.fits", plane, fits.Header({"BUNIT": "adu"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gpustack_command(*words, **options):
    """Run the command line as a user does."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "gpustack", *words]
    return subprocess.run(command, text=True, check=False, **streams | options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["info"], ["--version"], ["explain", "3", "3", "m0.fits"]])
def test_what_finds_no_room_on_stdout_is_told_in_one_line(folder, words):
    with Path("/dev/full").open("wb") as full:
        done = gpustack_command(*words, stdout=full)
    assert done.returncode == 3
    assert done.stderr == "gpustack: stdout: could not be written: No space left on device\n"


def run_here(monkeypatch, *words):
    """Run the command line in this process and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["gpustack", *words])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    try:
        main()
    except SystemExit as exit_:
        return exit_.code
    return 0


@pytest.mark.parametrize(
    ("name", "words", "extra"),
    [
        ("matplotlib.figure", ["--report", "page.html"], "plot"),
        ("matplotlib.figure", ["--preview", "look.png"], "plot"),
        ("sep", ["--align", "register"], "register"),
        ("distributed", ["--dask", "tcp://localhost:1"], "dask"),
    ],
)
def test_a_package_that_is_missing_is_the_machines_fault(
    folder, monkeypatch, capsys, name, words, extra
):
    monkeypatch.setitem(sys.modules, name, None)
    assert run_here(monkeypatch, "combine", "m*.fits", "-o", "out.fits", *words) == 3
    assert f"(the extra gpustack[{extra}])" in capsys.readouterr().err
    assert not Path("out.fits").exists()


def test_combine_writes_the_result_of_stack(folder):
    done = gpustack_command(
        *("combine", "m*.fits", "-o", "out.fits", "--combine", "median"),
        *("--clip", "sigma:low=1.5,high=2,center=median,spread=mad_std"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "silent in a pipe"
    expected = stack("m*.fits", SigmaClip(1.5, 2, spread="mad_std"), combine="median")
    np.testing.assert_array_equal(fits.getdata("out.fits"), expected.data)
    assert sorted(path.name for path in folder.glob("*out*")) == ["out.fits"]


def test_every_option_reaches_the_recipe(folder, monkeypatch):
    words = ["combine", "m0.fits", "m1.fits", "-o", "out.fits", "--combine", "sum"]
    words += ["--clip", "range:low=0", "--clip", "extrema:nlow=0,nhigh=1"]
    words += ["--scale", "1,2", "--zero", "0.5,-1", "--weights", "1,3", "--dtype", "float64"]
    words += ["--memory", "1MB", "--backend", "cpu", "--unit", "adu", "--hdu", "0"]
    assert run_here(monkeypatch, *words) == 0
    header = fits.getheader("out.fits")
    line = re.sub(r"\s", "", "".join(header["HISTORY"][:3]))
    assert "scale=[1,2]->zero=[0.5,-1]->weights=[1,3]->range:low=0,high=none" in line
    assert "extrema:nlow=0,nhigh=1,among=valid->sum(float64)" in line
    assert header["BITPIX"] == -64


@pytest.mark.filterwarnings("ignore:.*given .* times:gpustack.errors.GpustackWarning")
def test_an_extension_by_number_or_name(folder, monkeypatch):
    image = fits.ImageHDU(np.full((4, 4), 7.0), name="SCI")
    image.header["BUNIT"] = "adu"
    for name in ("mef1.fits", "mef2.fits"):
        fits.HDUList([fits.PrimaryHDU(np.zeros((2, 2))), image]).writeto(name)
    for hdu in ("1", "-1", "SCI", "SCI, 1"):
        words = ("combine", "mef*.fits", "-o", f"out{hdu}.fits", "--hdu", hdu)
        assert run_here(monkeypatch, *words) == 0
        assert (fits.getdata(f"out{hdu}.fits") == 7).all()


BAD = {
    "no such file": (["nope.fits"], "nope.fits: expected a FITS file, got no such file"),
    "no match": (["nope*.fits"], r"nope\*\.fits"),
    "shapes differ": (["m0.fits", "small.fits"], "small.fits"),
    "no unit": (["bare.fits", "m0.fits"], "bare.fits.*--unit"),
    "no such extension": (["m*.fits", "--hdu", "SCI"], "m0.fits.*SCI"),
    "no such way": (["m*.fits", "--combine", "mode"], "'mean', .*'nmodel', got 'mode'"),
    "no such noise": (["m*.fits", "--combine", "nmodel:read=5"], "rdnoise, .*got 'read=5'"),
    "no such clip": (
        ["m*.fits", "--clip", "kappa:low=3"],
        "'range', 'extrema', .*, 'grow', got 'kappa'",
    ),
    "no such field": (["m*.fits", "--clip", "sigma:lo=3"], "expected .*low, high.*got"),
    "too many extrema": (["m*.fits", "--clip", "extrema:nlow=3,nhigh=2"], "for 5 frames"),
    "negative weights": (["m*.fits", "--weights", "1,1,1,1,-1"], "weights: .*-1"),
    "weights too few": (["m*.fits", "--weights", "1,2"], "expected 5 numbers.*got 2"),
    "words for numbers": (["m*.fits", "--scale", "mood"], "numbers, one per frame, or 'median'"),
    "letters for numbers": (
        ["m*.fits", "--scale", "1,x"],
        "expected numbers, one per frame, .*'1,x'",
    ),
    "memory": (["m*.fits", "--memory", "10B"], "at least one row"),
    "memory unit": (["m*.fits", "--memory", "2 parsec"], "'2 parsec'"),
}


@pytest.mark.parametrize(("words", "match"), BAD.values(), ids=BAD)
def test_bad_input_is_one_clear_line_and_code_2(folder, monkeypatch, capsys, words, match):
    fits.writeto("small.fits", np.ones((3, 3)), fits.Header({"BUNIT": "adu"}))
    fits.writeto("bare.fits", np.ones((12, 10)))
    assert run_here(monkeypatch, "combine", *words, "-o", "out.fits") == 2
    said = capsys.readouterr().err
    assert re.search(match, said)
    assert "Traceback" not in said
    assert not list(folder.glob("*out*")) + list(folder.glob(".*"))


def test_an_existing_output_is_refused_before_any_work(folder, monkeypatch, capsys):
    (folder / "out.fits").write_bytes(b"mine")
    monkeypatch.setattr("gpustack.engine.stack", lambda *_, **__: pytest.fail("it worked first"))
    assert run_here(monkeypatch, "combine", "m*.fits", "-o", "out.fits") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "out.fits").read_bytes() == b"mine"


def test_overwrite(folder, monkeypatch):
    (folder / "out.fits").write_bytes(b"old")
    assert run_here(monkeypatch, "combine", "m*.fits", "-o", "out.fits", "--overwrite") == 0
    assert fits.getheader("out.fits")["NCOMBINE"] == 5


TALKATIVE = """
import sys, warnings
from gpustack import backends
from gpustack.backends.cpu import CpuBackend
class Talking(CpuBackend):
    def stream(self, *args):
        from astropy import log
        log.info("of interest")
        warnings.warn("of concern")
        super().stream(*args)
backends.CpuBackend = Talking
sys.argv = ["gpustack", "combine", "m*.fits", "-o", "out.fits"]
from gpustack.cli import main
main()
"""


def test_what_libraries_have_to_say_stays_out_of_stdout(folder):
    done = subprocess.run(
        [sys.executable, "-c", TALKATIVE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "gpustack: warning: of concern\n"


@pytest.mark.parametrize("frames", [["*.fits"], ["m0.fits", "./m1.fits"], ["m0.fits", "link.fits"]])
def test_the_output_is_none_of_the_frames(folder, monkeypatch, capsys, frames):
    before = (folder / "m1.fits").read_bytes()
    (folder / "link.fits").symlink_to("m1.fits")
    words = ("combine", *frames, "-o", str(folder / "m1.fits"), "--overwrite")
    assert run_here(monkeypatch, *words) == 2
    said = capsys.readouterr().err
    assert re.search(r"(m1|link)\.fits: expected another output, got one of the frames", said)
    assert (folder / "m1.fits").read_bytes() == before


@pytest.mark.parametrize("name", ["run.json", "run.html", "run.png"])
def test_what_is_not_written_beside_a_result_that_stands(folder, monkeypatch, capsys, name):
    def full(path, *_, **__):
        raise WriteError(f"{path}: could not be written: No space left")

    monkeypatch.setattr("gpustack.show.write_page", lambda _, path, **__: full(path))
    monkeypatch.setattr("gpustack.show.write_preview", lambda _, path, **__: full(path))
    # Patched last, because modules imported while it is patched keep the patched function.
    monkeypatch.setattr("gpustack.writing.write_text", full)
    option, what = ("--preview", "preview") if name == "run.png" else ("--report", "report")
    assert run_here(monkeypatch, "combine", "m*.fits", "-o", "out.fits", option, name) == 3
    said = f"gpustack: out.fits was written; its {what} was not: {name}: could not be written"
    assert said in capsys.readouterr().err
    assert (folder / "out.fits").exists()


@pytest.mark.parametrize("hdu", ["²", "-x", "--5", "1.5", "1_0", ""])
def test_an_extension_that_cannot_be_is_bad_input(folder, monkeypatch, capsys, hdu):
    assert run_here(monkeypatch, "combine", "m*.fits", "-o", "out.fits", "--hdu", hdu) == 2
    assert f"expected an image in HDU {hdu!r}" in capsys.readouterr().err


def test_the_command_line_asks_only_for_what_it_uses(folder, monkeypatch):
    combine, outputs = ("combine", "m*.fits", "-o", "out.fits", "--overwrite"), ["uncertainty"]
    for more, wanted in (
        ((), outputs),
        (("--maps", "frames"), [*outputs, "rejected"]),
        (("--report", "out.json"), [*outputs, "rejected"]),
        (("--report", "out.html"), [*outputs, "rejected"]),
        (("--uncertainty", "none"), []),
    ):
        assert run_here(monkeypatch, *combine, *more) == 0
        assert read_recipe(fits.getheader("out.fits")).outputs == tuple(wanted)
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK"]


def test_a_backend_that_cannot_work_here_is_code_3(folder, monkeypatch, capsys):
    words = ("combine", "m*.fits", "-o", "out.fits", "--backend", "cuda")
    assert run_here(monkeypatch, *words) == 3
    assert "cuda" in capsys.readouterr().err


def test_warnings_are_one_line(folder):
    done = gpustack_command("combine", "m0.fits", "-o", "out.fits")
    assert done.returncode == 0
    assert done.stderr == "gpustack: warning: only one frame: nothing to combine\n"


class Terminal:
    """A stream that claims to be a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_the_bar_moves_on_a_terminal():
    terminal = Terminal()
    with progress_bar(terminal) as progress:
        progress(5, 10)
        progress(10, 10)
        terminal.write("a warning")
    assert "stacking" in terminal.text
    assert re.search("100%.*\na warning$", terminal.text), "the bar ends its line when it is full"


def test_no_bar_is_left_of_frames_that_cannot_be_opened():
    terminal = Terminal()
    with pytest.raises(InputError), progress_bar(terminal):
        raise InputError("no such file")
    assert not terminal.text


def test_the_summary_names_what_was_done(folder):
    line = summary(stack("m*.fits", combine="median"), folder / "out.fits", 0.5)
    assert line.startswith(f"{folder / 'out.fits'}: 5 frames of 10 x 12, median; 0% of samples")
    assert line.endswith("0.5 s, 0 Mpx/s")


def test_info_says_what_works_and_what_does_not():
    said = CliRunner().invoke(cli, ["info"]).output
    assert gpustack.__version__ in said
    assert re.search(r"cpu +works +numpy, \d threads on \d+ cores", said)
    assert re.search(r"cuda +not here +\w+", said)


@pytest.mark.parametrize(
    "words", [["--help"], ["combine", "--help"], ["info", "-h"], ["demo", "-h"]]
)
def test_help(words):
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_words_are_shown_as_they_are_typed():
    said = CliRunner().invoke(cli, ["combine", "--help"]).output
    assert "--scale median|mean|mode|mad|exposure|!KEYWORD|@FILE|N,N,..." in said
    assert "NAME:field=value,..." in said
    assert f"--combine {'|'.join(METHODS)}" in said


def test_values_of_the_help_are_the_defaults():
    said = CliRunner().invoke(cli, ["combine", "--help"]).output
    shown = [line.strip() for line in said.splitlines() if re.match(r" {4}[a-z]+:\w+=", line)]
    models = [text for text in shown if text.startswith(NoiseModel.name)]
    assert [as_combine(text) for text in models] == [NoiseModel()]
    moves = [text for text in shown if text.partition(":")[0] in ALIGNMENTS]
    assert [as_alignment(text) for text in moves] == [kind() for kind in ALIGNMENTS.values()]
    clips = [parse_clip(text) for text in shown if text not in (*models, *moves)]
    assert {clip.name: clip for clip in clips} == {name: clip() for name, clip in CLIPS.items()}
    assert len(clips) == len(CLIPS)


def test_how_to_combine_is_a_word_or_a_value(folder, monkeypatch):
    asked = "nmodel:rdnoise=5,gain=2"
    assert run_here(monkeypatch, "combine", "m*.fits", "-o", "out.fits", "--combine", asked) == 0
    header = fits.getheader("out.fits")
    assert read_recipe(header).combine == NoiseModel(rdnoise=5, gain=2)
    np.testing.assert_array_equal(fits.getdata("out.fits"), stack("m*.fits", combine=asked).data)
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK"], "no uncertainty of one"


def test_without_arguments_the_help_is_shown_with_code_2():
    done = gpustack_command()
    assert (done.returncode, done.stdout) == (2, "")
    assert "gpustack combine --help" in done.stderr


def test_every_option_has_its_line_in_the_docs():
    docs = (Path(__file__).parents[1] / "docs" / "options.md").read_text()
    options = {name for param in cli.commands["combine"].params for name in param.opts}
    missing = {name for name in options if name.startswith("--") and name not in docs}
    assert missing <= {"--help"}


def test_the_command_line_starts_without_astropy():
    code = "import sys, gpustack.cli; print('astropy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


#: Options, and the expected stderr in a pipe, for frames that have a unit of their own.
SAID = {
    "usual": ([], r"gpustack: warning: m0\.fits: using the given unit electron instead.*"),
    "quiet": (["--quiet"], ""),
    "verbose": (
        ["-v"],
        r"(?s)gpustack: warning: m0.*\ngpustack: backend auto: .*\n +name +scale .*\n"
        r"m0\.fits +1\.0 .*\nout.*frames of.*",
    ),
}


@pytest.mark.parametrize(("words", "match"), SAID.values(), ids=SAID)
def test_what_is_said_in_a_pipe(folder, words, match):
    done = gpustack_command("combine", "m*.fits", "-o", "out.fits", "--unit", "electron", *words)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.match(f"{match}$", done.stderr)


def test_errors_are_said_however_quiet(folder):
    done = gpustack_command("combine", "none.fits", "-o", "out.fits", "--quiet")
    assert done.returncode == 2
    assert "none.fits" in done.stderr


def test_quiet_and_verbose_are_one_too_many(folder, monkeypatch, capsys):
    assert run_here(monkeypatch, "combine", "m*.fits", "-o", "out.fits", "-q", "-v") == 2
    assert "expected --quiet or --verbose, got both" in capsys.readouterr().err


def test_quiet_draws_no_bar():
    terminal = Terminal()

    @click.command
    @loudness_options
    def command():
        with progress_bar(terminal) as progress:
            assert progress is None

    assert CliRunner().invoke(command, ["--quiet"]).exit_code == 0
    assert not terminal.text
