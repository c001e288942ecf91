"""Benchmarks: the same work by gpustack and by its peers, in one run, answers compared first."""
