"""The CUDA backend: CuPy launches the kernels of ``kernels/``, which do all the computing.

Modules, each importing only those before it: `device` finds CuPy and a usable device (the only
file that imports CuPy), `abi` mirrors the structs that kernels read, `clips` writes clips into
them, `source` reads the text of a kernel, `launch` turns a recipe into a kernel and its arguments,
`staging` lays out samples and results in memory, `slots` holds the buffers of one band, `work` is
what all devices of a run share, `worker` keeps several bands under way on one device, `pipeline`
shares a stack among all devices, `resident` runs on samples that are on a device already, and
`backend` is the entry point.
"""
