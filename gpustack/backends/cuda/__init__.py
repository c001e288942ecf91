"""The CUDA backend: CuPy launches the kernels of ``kernels/``, nothing else computes.

Modules, each importing only those before it: `device` finds CuPy and a usable device (the
only file that imports CuPy), `abi` is what kernels are given, `source` the text of a kernel,
`launch` turns a recipe into a kernel and its arguments, `staging` lays samples out for the
copy to the device, `slots` holds the buffers of one band, `work` is what all devices share of
a run, `worker` keeps several bands under way on one of them, `pipeline` on all, `resident`
runs on samples that are on a device already, `backend` is their door.
"""
