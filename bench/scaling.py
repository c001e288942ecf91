"""What stacking on a dask cluster costs: ``python -m bench.scaling --json NAME-scaling.json``.

Clusters on this machine, of 1 and of 2 workers with one thread each, stack files of several sizes,
cut into few tasks and into many. Wall seconds show how much faster two workers are than one. A cost
model is fitted to the processor seconds of the workers, and of the client with the scheduler.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from bench import machine
from bench.stream import simulate
from bench.table import scaling_table
from gpustack import SigmaClip, stack
from gpustack.cluster import task_plan

WORKERS = (1, 2)
#: Stacks: frames, pixels on a side, tasks for each worker.
SIZES = ((4, 64, 64), (8, 1024, 4), (8, 1024, 64), (32, 512, 4), (32, 512, 64), (32, 1024, 4))
#: Bytes of the results for a pixel: image and uncertainty in float32, and the mask.
MADE = 9
RECIPE = SigmaClip(low=3, high=3, spread="mad_std")


@dataclass(frozen=True)
class Job:
    """A stack as a cost model sees it.

    Parameters
    ----------
    frames, rows, width : int
    bands : int
        The number of tasks; each reads a band of all frames.
    sample, made : int
        Bytes of a sample in its file, and of all results for a pixel.
    """

    frames: int
    rows: int
    width: int
    bands: int
    sample: int = 4
    made: int = MADE

    @property
    def read_bytes(self) -> int:
        """Bytes of the samples of all frames."""
        return self.frames * self.rows * self.width * self.sample

    @property
    def made_bytes(self) -> int:
        """Bytes of the result."""
        return self.rows * self.width * self.made

    @property
    def amounts(self) -> dict[str, int]:
        """The number of each thing that costs time, with one worker, which opens a frame once."""
        return {
            "task": self.bands,
            "frame opened": self.frames,
            "frame of a task": self.frames * self.bands,
            "byte read": self.read_bytes,
            "byte made": self.made_bytes,
        }


#: Seconds for one of each of the things in `Job.amounts`.
Costs = dict[str, float]


#: What costs workers and client time: the client reads no samples.
COST_TERMS = {
    "workers": ("task", "frame opened", "frame of a task", "byte read", "byte made"),
    "client": ("task", "frame opened", "byte made"),
}
#: The stack that the project was asked about, and the cluster to predict its time for: the number
#: of workers, and the bytes a second of its storage and of the client's network.
LARGE = Job(10_000, 10_000, 10_000, 1000)
NODES, STORAGE, NETWORK = 100, 10e9, 1e9


def fit(jobs: Sequence[Job], seconds: Sequence[float], names: Sequence[str]) -> Costs:
    """Fit costs >= 0 of `names` to what jobs took; residuals are relative to each job's seconds."""
    table = np.array([[job.amounts[name] for name in names] for job in jobs], float)
    weights = 1 / np.array(seconds)
    scale = table.max(axis=0)
    found, _ = nnls(table * weights[:, None] / scale, np.ones(len(jobs)))
    return dict(zip(names, (found / scale).tolist(), strict=True))


def cost(costs: Costs, job: Job) -> float:
    """Seconds of a job with these costs."""
    return sum(number * job.amounts[name] for name, number in costs.items())


def bounds(
    workers: Costs, client: Costs, job: Job, *, nodes: int, storage: float, network: float
) -> dict[str, float]:
    """Seconds that each part of a cluster would need alone; the longest is the bottleneck.

    Parameters
    ----------
    workers, client : dict
        The costs of each.
    job : Job
    nodes : int
        The number of workers.
    storage, network : float
        Bytes a second: of the storage for all workers together, and of the client's network.
    """
    opened = workers["frame opened"] * job.frames
    return {
        "workers": opened + (cost(workers, job) - opened) / nodes,
        "storage": job.read_bytes / storage,
        "client": cost(client, job),
        "network of the client": job.made_bytes / network,
    }


@contextmanager
def cluster_of(workers: int) -> Iterator[Any]:
    """Start a cluster of `workers` processes of one thread; the value is its client."""
    from distributed import Client, LocalCluster

    how = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(memory_limit=0, **how) as cluster, Client(cluster) as client:
        yield client


def timed(paths: list[str], client: Any, expected: NDArray[Any]) -> dict[str, float]:
    """Seconds of one stack: of the wall clock, and of the processors of workers and client."""
    before = client.run(time.process_time)
    begin, own = time.perf_counter(), time.process_time()
    result = stack(paths, RECIPE, client=client, backend="cpu", memory="1GB")
    seconds, own = time.perf_counter() - begin, time.process_time() - own
    after = client.run(time.process_time)
    if not np.array_equal(np.asarray(result.data), expected, equal_nan=True):
        raise RuntimeError("expected the result of one machine, got another")
    worker_seconds = sum(after[at] - before[at] for at in after)
    return {"seconds": seconds, "workers": worker_seconds, "client": own}


def measure(sizes: Sequence[Sequence[int]], repeats: int) -> list[dict[str, Any]]:
    """Run everything; of the repeats of a run, the least of each number counts."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for workers in WORKERS:
            with cluster_of(workers) as client:
                for frames, size, tasks_per_worker in sizes:
                    folder = Path(scratch, f"{frames}-{size}")
                    if not folder.exists():
                        folder.mkdir()
                        simulate(folder, frames, size)
                    paths = [str(path) for path in sorted(folder.glob("*.fits"))]
                    expected = np.asarray(stack(paths, RECIPE, backend="cpu").data)
                    task_plan.TASKS_PER_WORKER = tasks_per_worker
                    runs = [timed(paths, client, expected) for _ in range(repeats + 1)][1:]
                    least = {name: min(run[name] for run in runs) for name in runs[0]}
                    bands = len(task_plan.plan_tasks(size, workers, 1, 1, 1 << 40).bands)
                    job = {"frames": frames, "size": size, "bands": bands}
                    found.append({"workers": workers, "job": job, "took": least})
    return found


def fitted(runs: Sequence[dict[str, Any]]) -> dict[str, Costs]:
    """The costs of workers and client, in processor seconds, from the runs with one worker."""
    one_worker_runs = [run for run in runs if run["workers"] == 1]
    jobs = [
        Job(one["job"]["frames"], one["job"]["size"], one["job"]["size"], one["job"]["bands"])
        for one in one_worker_runs
    ]
    return {
        who: fit(jobs, [run["took"][who] for run in one_worker_runs], names)
        for who, names in COST_TERMS.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("bench.scaling", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of each stack (default: %(default)s)"
    )
    machine.add_json(parser)
    options = parser.parse_args(arguments)
    load, default = machine.load(), task_plan.TASKS_PER_WORKER
    runs = measure(SIZES, options.repeats)
    task_plan.TASKS_PER_WORKER = default
    costs = fitted(runs)
    large = bounds(*costs.values(), LARGE, nodes=NODES, storage=STORAGE, network=NETWORK)
    settings, found = {"repeats": options.repeats}, {"runs": runs, "costs": costs, "large": large}
    results = machine.record("scaling", settings, load, **found)
    machine.write(options.json, results)
    print(scaling_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
