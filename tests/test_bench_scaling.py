"""The benchmark of a cluster, and its cost model. No test depends on times."""

from importlib.util import find_spec

import pytest

from bench import scaling, table
from bench.scaling import COST_TERMS, Job, bounds, cost, fit
from gpustack.cluster import task_plan
from skips import skip_without

JOBS = [Job(n, size, size, bands) for n, size, bands in [(4, 64, 9), (8, 128, 40), (32, 99, 4)]]
JOBS += [Job(5, 700, 300, 70), Job(50, 40, 900, 2), Job(9, 512, 512, 300)]


@pytest.mark.parametrize("who", COST_TERMS)
def test_costs_are_found_again(who):
    true = dict(zip(COST_TERMS[who], (4e-3, 5e-4, 1e-4, 6e-9, 3e-8), strict=False))
    found = fit(JOBS, [cost(true, job) for job in JOBS], COST_TERMS[who])
    assert found == pytest.approx(true, rel=1e-6)


def test_the_bounds_are_of_the_parts():
    workers = {"frame opened": 1.0, "byte read": 0.5}
    job = Job(frames=2, rows=10, width=3, bands=5, sample=4, made=9)
    found = bounds(workers, {"task": 2.0}, job, nodes=4, storage=24.0, network=27.0)
    assert found == {
        "workers": 2 + 0.5 * 240 / 4,
        "storage": 240 / 24,
        "client": 10,
        "network of the client": 10,
    }


def test_a_run_is_a_table(tmp_path, monkeypatch):
    if find_spec("distributed") is None:
        skip_without("distributed")
    monkeypatch.setattr(scaling, "SIZES", ((3, 40, 2), (5, 30, 4)))
    monkeypatch.setattr(scaling, "WORKERS", (1,))
    each, path = task_plan.TASKS_PER_WORKER, tmp_path / "results.json"
    assert scaling.main(["--repeats", "1", "--json", str(path)]) == 0
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: scaling -->\n<!-- /bench -->\n")
    assert table.main([str(path), "--into", str(page)]) == 0
    assert "| 5 of 30 x 30 " in page.read_text()
    assert "| frame of a task |" in page.read_text()
    assert each == task_plan.TASKS_PER_WORKER
