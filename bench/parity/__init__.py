"""Side by side with the real programs: IRAF `imcombine` and Siril, on small frames.

`cases` is the one table of what is compared, `frames` makes what they get, `iraf` and `siril`
run the programs, `golden` keeps what they answered, `compare` holds gpustack against it, and
`timing` takes the seconds of whole processes. ``python -m bench.parity`` does all of it.
"""
