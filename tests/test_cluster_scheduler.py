"""Schedulers that die or do not exist."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import gpustack
from gpustack import ClusterError, ToFile, stack
from gpustack.cli import cli

pytest.importorskip("distributed", reason="clusters need the extra dask")

ROOT = Path(gpustack.__file__).resolve().parents[1]
#: Seconds after which a test kills a process.
PATIENCE = 60


@pytest.fixture
def folder(tmp_path_factory):
    """A folder with three frames."""
    path = tmp_path_factory.mktemp("frames")
    for f in range(3):
        fits.writeto(path / f"f{f}.fits", np.full((41, 30), f, "f4"), fits.Header({"BUNIT": "adu"}))
    return path


ALONE = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "protocol": "tcp://"}
    how |= {"dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**how) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def alone():
    """The address of a scheduler with a worker in a separate process, and the process."""
    root = Path(gpustack.__file__).resolve().parents[1]
    words = [sys.executable, "-c", ALONE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=root, text=True, **pipes) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        yield process.stdout.readline().strip(), process
        watchdog.cancel()
        process.kill()


def test_a_scheduler_that_dies_leaves_no_half_output(alone, folder, tmp_path):
    import dask
    from distributed import Client

    address, process = alone

    def progress(done, rows):
        process.kill()

    frames, outputs = str(folder / "f*.fits"), ToFile(tmp_path / "out.fits")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        Client(address, set_as_default=False) as one,
        pytest.raises(ClusterError, match="cluster: lost the connection to the scheduler"),
    ):
        stack(frames, client=one, outputs=outputs, progress=progress, backend="cpu")
    assert not [*tmp_path.iterdir()]


def test_a_scheduler_that_has_died_before_is_told_of(alone):
    import dask
    import dask.array as da
    from distributed import Client

    address, process = alone
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        Client(address, set_as_default=False) as one,
    ):
        process.kill()
        process.wait()
        for _ in range(2):
            with pytest.raises(ClusterError, match=r"lost the connection|got a closed"):
                stack(da.ones((3, 8, 9)), client=one)


def test_where_there_is_no_scheduler_the_command_line_says_so(folder, tmp_path):
    import dask

    words = ["combine", *map(str, folder.glob("f*.fits")), "-o", str(tmp_path / "out.fits")]
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ClusterError, match=r"dask tcp://127\.0\.0\.1:9: expected a scheduler, got"),
    ):
        CliRunner().invoke(cli, [*words, "--dask", "tcp://127.0.0.1:9"], catch_exceptions=False)
    assert not [*tmp_path.iterdir()]


KILLS = """
import json, os, signal, sys
from gpustack.cli import main
from gpustack.cluster.rows import TaskRows

if __name__ == "__main__":
    place, (scheduler, sys.argv) = TaskRows.place, json.loads(sys.argv[1])

    def kill(*arguments):
        os.kill(scheduler, signal.SIGKILL)
        place(*arguments)

    TaskRows.place = kill
    main()
"""


def test_the_command_line_tells_of_a_scheduler_that_dies_in_one_line(alone, folder, tmp_path):
    address, process = alone
    frames, output = map(str, sorted(folder.glob("f*.fits"))), str(tmp_path / "out.fits")
    words = ["gpustack", "combine", *frames, "-o", output, "--dask", address]
    given = [sys.executable, "-c", KILLS, json.dumps([process.pid, words])]
    timeouts = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    how = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": PATIENCE}
    done = subprocess.run(given, env=os.environ | timeouts, check=False, **how)
    assert done.returncode == 3
    assert done.stderr.startswith("gpustack: cluster: lost the connection to the scheduler: ")
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.iterdir()]
