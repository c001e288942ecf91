"""Side by side with the real programs: IRAF `imcombine` and Siril, on small frames.

`cases` is the one table of what is compared, `frames` makes what they get, `iraf` and `siril`
run the programs, `golden` keeps what they answered, and `compare` holds gpustack against it.
``python -m bench.parity`` does all of it.
"""
