"""Parts of a run of the engine, also used by the workers of a cluster and by `gpustack.explain`.

- `arguments`: its recipe, from the arguments of `gpustack.stack`.
- `requirements`: checks that frames have what the recipe needs.
- `limit`: its memory limit.
- `io`: what a backend reads and fills in.
- `outcome`: its result.
"""
