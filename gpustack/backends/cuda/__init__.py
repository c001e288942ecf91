"""The CUDA backend: CuPy runs the kernels of `kernels/`."""
