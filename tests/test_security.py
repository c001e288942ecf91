"""Contents of files are never executed, followed, or used as the name of an output."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import gpustack

PACKAGE = Path(gpustack.__file__).parent

#: Functions that execute their argument, and modules that unpack data or start programs.
RUNS = {"eval", "exec", "compile", "__import__", "system", "popen", "Popen", "execv", "spawn"}
UNPACKS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "subprocess"}
#: Exceptions: regular expressions, and kernels, whose sources come with the package.
ALLOWED = {("re", "compile"), ("module", "compile")}


#: Exceptions: `gpustack info` asks git for the commit of its own checkout.
ASKS = {("cli.about", "subprocess")}


def dotted(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=dotted)
def test_no_module_runs_or_unpacks_what_it_reads(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            assert not {name for name in names & UNPACKS if (dotted(path), name) not in ASKS}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in UNPACKS
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                assert called.id not in RUNS, f"line {node.lineno}"
            elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                if (called.value.id, called.attr) not in ALLOWED:
                    assert called.attr not in RUNS, f"line {node.lineno}"
                assert (called.value.id, called.attr) != ("np", "load"), f"line {node.lineno}"


#: A program that combines files and prints all audit events on files, processes and sockets.
WATCHED = """
import json, os, sys
from gpustack.cli import main
events, on = [], False
def watch(event, args):
    if on and event in ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.listdir",
                        "os.symlink", "glob.glob", "pickle.find_class", "marshal.loads", "exec",
                        "compile", "os.system", "subprocess.Popen", "socket.connect",
                        "socket.getaddrinfo", "urllib.Request", "ctypes.dlopen"):
        events.append([event, *(str(arg) for arg in args[:2])])
sys.addaudithook(watch)
for number, frames in enumerate((["harmless*.fits"], ["hostile*.fits"])):
    on = bool(number)  # once before, so that all modules are there
    sys.argv = ["gpustack", "combine", *frames, "-o", f"out{number}.fits",
                "--backend", "cpu"]
    main()
on = False
print(json.dumps(events))
"""
TRAP = "trap.fits"


def hostile(folder):
    """Cards that contain a file name, a command or an address, under all suitable keywords."""
    trap = str(folder / TRAP)
    keys = ["BPM", "MASK", "WEIGHT", "DGEOFILE", "NPOLFILE", "D2IMFILE", "FILENAME"]
    keys += ["ORIGFILE", "INHERIT", "DATALINK", "FLATFILE", "OBJECT", "IMCMB001", "OUTPUT"]
    values = [trap, "__import__('os').mkdir('pwned')", "http://localhost:9/x.fits", "|touch pwned"]
    for i, key in enumerate(keys):
        yield key, values[i % len(values)]
    yield from (("HISTORY", "gpustack.recipe " + values[1]), ("COMMENT", values[3]))


def test_what_headers_name_is_neither_opened_nor_run(tmp_path):
    sky = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0}
    sky |= {"CRPIX1": 3.0, "CRPIX2": 3.0, "CDELT1": -1e-4, "CDELT2": 1e-4}
    plane = np.arange(30, dtype="f4").reshape(5, 6)
    fits.writeto(tmp_path / TRAP, np.ones((5, 6), "u1"))
    for name in ("harmless1", "harmless2", "hostile1", "hostile2"):
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 3.0, **sky})
        for key, value in hostile(tmp_path) if "hostile" in name else ():
            header[key] = value
        fits.writeto(tmp_path / f"{name}.fits", plane, header)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = json.loads(done.stdout)
    assert {event for event, *_ in events} <= {
        "open",
        "os.link",
        "os.remove",
        "os.listdir",
        "glob.glob",
    }
    opened = {Path(args[0]).name for event, *args in events if event == "open"}
    assert {"hostile1.fits", "hostile2.fits"} <= opened
    others = {name for name in opened if not name.startswith((".gpustack-", "hostile"))}
    assert others <= {"boot_id"}
    made = [Path(args[1]).name for event, *args in events if event == "os.link"]
    assert made == ["out1.fits"]
    kept = {"harmless1", "harmless2", "hostile1", "hostile2", "trap", "out0", "out1"}
    assert {path.stem for path in tmp_path.iterdir()} == kept


def test_a_file_that_a_header_names_is_read_where_that_was_asked_for(tmp_path):
    plane = np.arange(30, dtype="f4").reshape(5, 6)
    fits.writeto(tmp_path / "a.fits", plane, fits.Header({"BUNIT": "adu", "BPM": "b.fits"}))
    fits.writeto(tmp_path / "b.fits", (plane > 20).astype("i2"))
    fits.writeto(tmp_path / "c.fits", plane, fits.Header({"BUNIT": "adu", "BPM": "nowhere.fits"}))
    name = str(tmp_path / "a.fits")
    frames = [gpustack.Image(name, mask="!BPM"), str(tmp_path / "c.fits")]
    result = gpustack.stack(frames, combine="sum")
    np.testing.assert_array_equal(result.data, np.where(plane > 20, plane, 2 * plane))
    assert "b.fits" in "".join(result.header["HISTORY"])
