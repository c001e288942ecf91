"""The ccdproc door: `Combiner`, whose code runs after changing the import.

The Combiner records: clip methods append to a recipe, and combining runs it in one pass
over the frames it refers to. `combine`, for files, stands in `gpustack.combine_files`.
"""
