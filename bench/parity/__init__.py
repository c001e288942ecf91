"""Compare gpustack pixel by pixel with IRAF `imcombine` and Siril, on small frames.

`cases` is the one table of what is compared, `frames` makes the frames, `iraf` and `siril` run the
programs, `golden` keeps their answers, `compare` compares gpustack with these, `differences` lists
where they differ and why, and `report` writes tables. ``python -m bench.parity`` does all of it.
"""
