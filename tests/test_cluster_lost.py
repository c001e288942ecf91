"""Clusters that are lost or unusable; all in this process, unlike those of test_cluster."""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from astropy.io import fits

pytest.importorskip("distributed", reason="clusters need the extra dask")

import dask
import dask.array as da
import numpy as np
from distributed import Client, KilledWorker, LocalCluster

import gpustack
from gpustack import ClusterError, FrameError, InputError, stack
from gpustack.backends.cuda.source import digest
from gpustack.cluster.code_version import code_here, hash_of
from gpustack.cluster.connection import connected
from gpustack.cluster.link import CLOSED, asking_scheduler, reporting_loss
from gpustack.cluster.no_workers import _watch
from gpustack.cluster.opening import versions_here
from gpustack.cluster.tasks import Room
from gpustack.logs import ROOT

FRAMES = da.ones((3, 8, 9), chunks=4)
#: Seconds after which a test gives up waiting.
PATIENCE = 60
OPEN, SHUT = SimpleNamespace(status="running"), SimpleNamespace(status=CLOSED[0])


@pytest.fixture
def client():
    """The client of a cluster of one worker in this process."""
    how = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "processes": False,
        "dashboard_address": "127.0.0.1:0",
    }
    with (
        dask.config.set({"distributed.scheduler.no-workers-timeout": "50ms"}),
        LocalCluster(**how) as cluster,
        Client(cluster, set_as_default=False) as one,
    ):
        yield one


def test_the_file_of_a_scheduler_names_it(tmp_path):
    how = {"n_workers": 1, "protocol": "tcp://", "processes": False}
    file = tmp_path / "scheduler.json"
    with LocalCluster(dashboard_address="127.0.0.1:0", **how) as cluster:
        file.write_text(json.dumps(cluster.scheduler.identity()))
        with connected(str(file)) as one:
            assert one.scheduler.address == cluster.scheduler_address
        at = cluster.workers[0].address
        with pytest.raises(ClusterError, match=f"{at}: .* got: a Worker"), connected(at):
            pass


NO_SCHEDULERS = {
    "another file": (b'{"a": 1}', "a file that contains no scheduler address"),
    "a list": (b"[1]", "a file that contains no scheduler address"),
    "no JSON": (b"a.fits", "Expecting value"),
    "no text": (b"\xff\xfe", "can't decode"),
}


@pytest.mark.parametrize(("content", "told"), NO_SCHEDULERS.values(), ids=NO_SCHEDULERS)
def test_what_is_no_file_of_a_scheduler_is_told(tmp_path, content, told):
    file = tmp_path / "scheduler.json"
    file.write_bytes(content)
    with (
        pytest.raises(ClusterError, match=rf"json: expected a scheduler, got: .*{told}"),
        connected(str(file)),
    ):
        pass


ELSEWHERE = r"; give tcp://HOST:8786, or the file that a scheduler has written"
MISTYPED = {
    "nosuch.json": f"no such file{ELSEWHERE}",
    "nonsense": f"no such file{ELSEWHERE}",
    "": f"no such file{ELSEWHERE}",
    ".": f"a folder{ELSEWHERE}",
    "http://127.0.0.1:9": "unknown address scheme 'http'",
    "tcp://here": "missing port number",
}


@pytest.mark.parametrize(("given", "told"), MISTYPED.items(), ids=MISTYPED)
def test_what_is_neither_an_address_nor_a_file_is_told(given, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = rf"dask {re.escape(given or repr(given))}: expected a scheduler, got: {told}"
    with pytest.raises(ClusterError, match=told), connected(given):
        pass


def test_an_address_that_is_none_ends_the_command_line_with_one_line(tmp_path):
    fits.writeto(tmp_path / "a.fits", np.ones((3, 4), "f4"))
    words = ["gpustack", "combine", "a.fits", "-o", "out.fits", "--dask", "http://127.0.0.1:9"]
    code = f"import sys; sys.argv = {words}; from gpustack.cli import main; main()"
    how = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": PATIENCE}
    root = str(Path(gpustack.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root}, check=False, **how
    )
    assert done.returncode == 3
    assert done.stderr.startswith("gpustack: dask http://127.0.0.1:9: expected a scheduler, got")
    assert done.stderr.count("\n") == 1


def test_what_listens_and_is_no_scheduler_is_not_waited_for():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(ClusterError, match=r"expected a scheduler, got: no answer in 0\.3 s"),
        connected(f"tcp://127.0.0.1:{silent.getsockname()[1]}"),
    ):
        pass


def test_tls_without_a_certificate_is_told():
    with (
        pytest.raises(ClusterError, match=r"dask tls://.*: expected a scheduler, got: TLS expects"),
        connected("tls://127.0.0.1:9"),
    ):
        pass


def test_a_closed_client_is_refused(client):
    client.close()
    with pytest.raises(ClusterError, match="client: expected a connected one, got a closed one"):
        stack(FRAMES, client=client)


def test_a_client_for_coroutines_is_refused():
    with pytest.raises(InputError, match="client: expected a synchronous one, got one with asynch"):
        stack(FRAMES, client=Mock(spec=Client, asynchronous=True))


def test_workers_are_not_waited_for_longer_than_dask_is_told(client, monkeypatch):
    monkeypatch.setattr(client, "compute", partial(client.compute, workers=["tcp://127.0.0.1:1"]))
    with pytest.raises(ClusterError, match="cluster: no workers are left: Attempt"):
        stack(FRAMES, client=client)


def test_a_task_that_kills_its_workers_is_told_of_with_the_last_one():
    worker = SimpleNamespace(address="tcp://there:1")
    told = "the last one tcp://there:1; they may have run out of memory"
    with pytest.raises(ClusterError, match=told), reporting_loss(OPEN):
        raise KilledWorker("rows", worker, 3)


def test_a_scheduler_that_does_not_answer_is_lost():
    with (
        pytest.raises(ClusterError, match="lost the connection to the scheduler: Timed out"),
        asking_scheduler(OPEN),
    ):
        raise OSError("Timed out trying to connect")


def test_what_fails_once_the_client_has_closed_itself_is_the_loss():
    with (
        pytest.raises(ClusterError, match="lost the connection to the scheduler: Tried sending"),
        reporting_loss(SHUT),
    ):
        raise Exception("Tried sending message after closing")


@pytest.mark.parametrize("client", [OPEN, SHUT])
def test_errors_of_frames_stay_what_they_are(client):
    with pytest.raises(FrameError), reporting_loss(client):
        raise FrameError("a.fits", "expected b")


def test_errors_of_others_stay_what_they_are():
    with pytest.raises(OSError, match="of a callback"), reporting_loss(OPEN):
        raise OSError("of a callback")


@pytest.mark.parametrize("how", [{}, {"scale": "median"}], ids=["rows", "statistics"])
def test_workers_of_other_versions_are_refused(client, monkeypatch, how):
    other = versions_here() | {"scipy": "1.0"}
    monkeypatch.setattr("gpustack.cluster.client.versions_here", lambda: other)
    with pytest.raises(ClusterError, match=r"scipy: expected 1\.0 as at the client.*\(worker 0, "):
        stack(FRAMES, client=client, **how)


def test_workers_of_other_code_of_the_same_version_are_refused(client, tmp_path, monkeypatch):
    copy = tmp_path / "gpustack"
    shutil.copytree(Path(gpustack.__file__).parent, copy, ignore=shutil.ignore_patterns("*.pyc"))
    assert hash_of(copy, digest()) == code_here()
    with (copy / "clips" / "__init__.py").open("a") as file:
        file.write("# another line\n")
    monkeypatch.setattr("gpustack.cluster.opening.code_here", lambda: hash_of(copy, digest()))
    versions_here.cache_clear()
    other = versions_here()
    monkeypatch.undo()
    versions_here.cache_clear()
    assert other["gpustack"] == versions_here()["gpustack"]
    monkeypatch.setattr("gpustack.cluster.client.versions_here", lambda: other)
    with pytest.raises(ClusterError, match=r"code of gpustack .*: expected .* as at the client"):
        stack(FRAMES, client=client)


@pytest.mark.parametrize("how", [{}, {"scale": "median"}], ids=["rows", "statistics"])
@pytest.mark.parametrize("index", [np.s_[:, :-1], np.s_[..., :1]], ids=["rows", "columns"])
def test_blocks_of_another_shape_than_a_dask_array_says_are_refused(client, index, how):
    honest = da.ones((3, 8, 9), chunks=(3, 2, 9))
    lying = honest.map_blocks(lambda block: block[index], meta=np.empty((0, 0, 0)))
    one = r"frame \d of the dask array: expected shape \(8, 9\)"
    some = r"rows \d:\d of the dask array: expected shape \(3, 2, 9\)"
    with pytest.raises(FrameError, match=rf"{one if how else some}, as it .*, got .*\(worker 0, "):
        stack(lying, client=client, **how)


@pytest.mark.parametrize("how", [{}, {"scale": "median"}], ids=["rows", "statistics"])
def test_blocks_with_more_digits_than_a_dask_array_says_are_refused(client, how):
    honest = da.ones((3, 8, 9), chunks=(3, 2, 9), dtype="f4")
    lying = honest.map_blocks(lambda block: block * np.float64(1.5), dtype="f4")
    with pytest.raises(FrameError, match=r"expected float32, as it .* block of float64: .*dtype="):
        stack(lying, client=client, **how)
    fewer = honest.map_blocks(lambda block: block * np.float32(1.5), dtype="f8")
    assert (stack(fewer, client=client, **how).data == 1.5).all()


@pytest.mark.parametrize(
    ("how", "what"), [({}, r"rows \d:\d"), ({"scale": "median"}, r"frame \d")], ids=["rows", "one"]
)
def test_what_the_graph_of_a_dask_array_raises_names_what_it_was_to_make(client, how, what):
    failing = FRAMES.map_blocks(lambda block: block / (1 // 0), meta=np.empty((0, 0, 0)))
    told = f"{what} of the dask array: expected samples, got ZeroDivisionError: integer division"
    with pytest.raises(FrameError, match=told) as caught:
        stack(failing, client=client, **how)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_list_of_dask_arrays_is_told_how_to_be_one(client):
    with pytest.raises(InputError, match=r"got Array for frame 0; give dask\.array\.stack\(frames"):
        stack([FRAMES[0], FRAMES[1]], client=client)
    assert (stack(da.stack([FRAMES[0], FRAMES[1]]), client=client).data == 1).all()


@pytest.fixture
def heard():
    """Collect the warnings of gpustack's log; ``heard.then`` is called with each."""
    handler, log = logging.Handler(), logging.getLogger(ROOT)
    found = SimpleNamespace(lines=[], then=lambda line: None)

    def emit(record):
        found.lines.append(record.getMessage())
        found.then(found.lines[-1])

    handler.emit = emit
    handler.setLevel(logging.WARNING)
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)


def test_workers_that_are_gone_are_told_of_and_that_they_are_back(monkeypatch, heard):
    monkeypatch.setattr("gpustack.cluster.no_workers.EVERY", 0.01)
    monkeypatch.setattr("gpustack.cluster.no_workers.PATIENCE", 0.05)
    how = {"threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, **how) as cluster, Client(cluster, set_as_default=False) as one:
        heard.then = lambda line: cluster.scale(1)
        started = []

        def progress(done, rows):
            if not started:
                started.append(cluster.sync(cluster.scheduler.retire_workers, remove=True))
                cluster.scale(0)

        result = stack(FRAMES, client=one, progress=progress)
    assert (result.data == 1).all()
    assert heard.lines[0] == "cluster: no workers for 0.05 s; waiting for new ones"
    assert heard.lines[1:] in ([], ["cluster: workers are back: 1"])


def test_each_lack_of_workers_is_told_of_once(monkeypatch, heard):
    over, worker = Event(), {"tcp://there:1": 1}
    answers = iter([worker, {}, None, {}, {}, worker, worker, {}, worker])

    def sync(function, callback_timeout):
        answer = next(answers, over)
        if answer is over:
            over.set()
        if answer in (None, over):
            raise OSError("no answer")
        return answer

    monkeypatch.setattr("gpustack.cluster.no_workers.EVERY", 0)
    monkeypatch.setattr("gpustack.cluster.no_workers.PATIENCE", 0)
    _watch(SimpleNamespace(sync=sync, scheduler=SimpleNamespace(ncores=None)), over)
    told = ["cluster: no workers for 0 s; waiting for new ones"]
    told += ["cluster: workers are back: 1"]
    assert heard.lines == told * 2


def test_frames_are_measured_together_where_memory_allows():
    """Four tasks on four threads; each waits until as many as fit in memory are running."""
    for limit, together in ((40, 4), (25, 2), (1, 1)):
        room, inside, most = Room(), [], []
        meeting = Barrier(together)

        def task(room=room, inside=inside, most=most, meeting=meeting, limit=limit):
            with room(10, limit):
                inside.append(1)
                meeting.wait(PATIENCE)
                most.append(len(inside))
                meeting.wait(PATIENCE)
                inside.pop()

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(task) for _ in range(4)]:
                done.result()
        assert max(most) == together


def test_measuring_takes_its_room(client, monkeypatch):
    taken = []

    @contextmanager
    def room(size, limit):
        taken.append((size, limit))
        yield

    monkeypatch.setattr("gpustack.cluster.tasks._room_of", lambda worker: room)
    stack(FRAMES, client=client, scale="median", memory="1MB")
    assert taken == [(32 * 8 * 9, 10**6)] * 3
