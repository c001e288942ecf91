"""Compute a stack on the workers of a dask cluster, identical to the local result bit for bit.

Workers are sent file names, a recipe and row numbers, never samples; they return rows of the
result. The modules, each of which imports only those above it:

- `code_version`: which code of gpustack a process runs.
- `opening`: how a worker opens the frames.
- `rows`: the rows that a worker computes, and where the client puts them.
- `tasks`: the functions that workers run.
- `task_plan`: which rows form a task.
- `arrays`: stacks that are dask arrays.
- `link`: turns the loss of a scheduler or of workers into an error of gpustack.
- `connection`: connects to the scheduler that the command line names.
- `no_workers`: the warning that a scheduler has no workers.
- `client`: hands out the tasks and assembles the result.

dask is imported only where it is needed.
"""

from gpustack.cluster.client import Cluster
from gpustack.cluster.connection import connected

__all__ = ["Cluster", "connected"]
