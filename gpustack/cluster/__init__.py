"""A stack made by the workers of a dask cluster, the same to the last bit.

What goes over the network to a worker are names of files, a recipe and numbers of rows, never
samples; what comes back are rows of the result. Modules, each importing only those before it:
`code` tells which code runs, `opening` says how a worker opens the frames, `rows` holds what it
makes, `tasks` are what workers run, `cutting` says which rows are a task, `arrays` are stacks that
are dask arrays, `link` is that to a scheduler, `connection` makes one, `lack` tells that there are
no workers, `client` hands the tasks out. dask is imported where it is needed.
"""

from gpustack.cluster.client import Cluster
from gpustack.cluster.connection import connected

__all__ = ["Cluster", "connected"]
