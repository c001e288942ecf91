"""A stack computed by the workers of a dask cluster, identical to the local result to the last bit.

Workers are sent file names, a recipe and row numbers, never samples; they return rows of the
result. The modules, each of which imports only those above it:

- `code_version`: which code of gpustack a process runs.
- `opening`: how a worker opens the frames.
- `rows`: the rows that a worker computes, and where the client puts them.
- `tasks`: what the workers run.
- `task_plan`: which rows form a task.
- `arrays`: stacks that are dask arrays.
- `link`, `connection`: the connection to a scheduler, and how one is made.
- `no_workers`: the warning that a scheduler has no workers.
- `client`: hands out the tasks and assembles the result.

dask is imported only where it is needed.
"""

from gpustack.cluster.client import Cluster
from gpustack.cluster.connection import connected

__all__ = ["Cluster", "connected"]
