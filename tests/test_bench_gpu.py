"""The benchmark of a device, run on a simulated one: what it measures, checks and writes.

No test depends on how long something takes.
"""

import json
import sys

import pytest

from bench import gpu, gpu_check, gpu_peers, gpu_sources, gpu_stages

TINY = ["--bytes", "40000", "--peer-bytes", "4000", "--repeat", "2", "--stack", "5", "--size", "16"]


@pytest.fixture
def cuda(pretend):
    return pretend(capacity=1 << 26)


def test_a_run_measures_prints_and_writes(cuda, tmp_path, capsys):
    out = tmp_path / "gpu.json"
    assert gpu.main([*TINY, "--frames", "8", "9", "130", "--json", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results["what"] == "gpu"
    assert results["devices"] == ["Pretended (0 GiB, sm_90)"]
    assert results["copy_bandwidth"] > 0
    resident = {(row["name"], row["frames"]): row for row in results["resident"]}
    assert set(resident) == {(name, n) for name in gpu.RECIPES for n in (8, 9, 130)}
    for (name, n), row in resident.items():
        assert set(row["peers"]) == set(gpu_peers.PEERS[name])
        assert row["pixels"] == 40000 // (4 * n)
        assert row["bytes_per_second"] > 0
    whole = {(row["name"], row["kind"]) for row in results["end_to_end"]}
    assert whole == {(name, kind) for name in gpu.RECIPES for kind in ("arrays", "files")}
    for row in results["end_to_end"]:
        assert set(row["parts"]) == {"read", "upload", "compute", "fetch"}
        assert row["of_slowest"] > 0
    said = capsys.readouterr().out
    assert "Pretended" in said
    assert said.count("sigma-mean") == 5


def test_a_wrong_answer_is_not_timed(cuda, monkeypatch, capsys):
    monkeypatch.setitem(gpu.RECIPES, "median", gpu.RECIPES["mean"])
    right = gpu_check.CpuBackend.stream

    def wrong(self, source, recipe, out, memory):
        right(self, source, recipe, out, memory)
        out.data += 1

    monkeypatch.setattr(gpu_check.CpuBackend, "stream", wrong)
    assert gpu.main([*TINY, "--frames", "8", "--case", "median"]) == 1
    assert "median, 8 frames:" in capsys.readouterr().err


def test_a_wrong_mask_is_reported(cuda, monkeypatch, capsys):
    right = gpu_check.CpuBackend.stream

    def wrong(self, source, recipe, out, memory):
        right(self, source, recipe, out, memory)
        out.mask[0, :3] = True

    monkeypatch.setattr(gpu_check.CpuBackend, "stream", wrong)
    assert gpu.main([*TINY, "--frames", "8", "--case", "median"]) == 1
    said = "median, 8 frames: values differ at 0 and masks at 3 of 1250 pixels"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_a_wrong_answer_of_a_whole_run_is_not_timed(cuda, monkeypatch, capsys, kind):
    right = gpu_stages.CudaBackend.stream

    def wrong(self, source, recipe, out, memory):
        right(self, source, recipe, out, memory)
        if isinstance(source, gpu_sources.Files) == (kind == "files"):
            out.data[0] += 1

    monkeypatch.setattr(gpu_stages.CudaBackend, "stream", wrong)
    assert gpu.main([*TINY, "--frames", "8", "--case", "median"]) == 1
    said = f"median from {kind}, 5 frames: values differ at 16 and masks at 0 of 256 pixels"
    assert said in capsys.readouterr().err


def test_a_missing_device_is_reported(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu.main(TINY) == 3
    assert "no device to measure: CuPy is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("name", gpu_peers.PEERS)
def test_the_peers_do_the_same_work(cuda, name):
    import cupy  # noqa: TID251
    import numpy as np

    from bands import Cpu
    from bench.gpu_timing import sky
    from gpustack.backends.base import Outputs, Samples

    cube = sky(32, 500)
    want = Outputs(np.empty((1, 500), np.float32), mask=np.empty((1, 500), bool))
    band = [Samples(row[None]) for row in cube.get()]
    Cpu().run(band, gpu.RECIPES[name], want)
    for run in gpu_peers.PEERS[name].values():
        found = run(cube)
        assert isinstance(found, cupy.ndarray)
        np.testing.assert_allclose(found.get(), want.data[0], rtol=1e-4)
