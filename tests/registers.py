"""What kernels take of a device: ``python tests/registers.py`` writes kernels/registers.json.

A gate compares a fresh compilation with that table, so that a change which costs registers
is seen and the table is written anew on purpose.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import nvrtc
from hostbuild import KERNELS
from kernel_shapes import defines

TABLE = KERNELS / "registers.json"
ARCHES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")

#: (shape, frames, itemsize of the working dtype). A device that needs other code shows in
#: these; the others have been seen to differ by little.
EVERYWHERE = (
    ("median", 32, 4),
    ("masked-clip-median", 32, 4),
    ("fits-scaled-clip", 32, 4),
    ("fits-every-clip", 32, 4),
)
#: One device in detail: as few and as many frames as registers hold, and any number.
IN_DETAIL = {
    "sm_90": (
        *(("median", n, 4) for n in (8, 64, 128)),
        *(("clip-mean", n, 4) for n in (8, 32, 64, 128)),
        *(("every-clip-mean", n, 4) for n in (8, 32, 64, 128)),
        *(("median-mad", n, 4) for n in (32, 128)),
        ("mean", 32, 4),
        ("quadrature", 32, 4),
        *(("clip-nmodel", n, 4) for n in (32, 128, 1000)),
        *(("replacing-mean", n, 4) for n in (8, 32, 64, 128, 1000)),
        *(("fits-replacing", n, 4) for n in (128, 1000)),
        ("fits-replacing", 64, 8),
        ("raw-clip-weighted", 25, 4),
        *(("by-frame-mean", n, 4) for n in (25, 128, 1000)),
        ("masked-clip-median", 64, 8),
        ("masked-clip-median", 1000, 4),
        ("fits-every-clip", 64, 8),
        ("fits-every-clip", 1000, 4),
    )
}


def name_of(case):
    """How the table calls a case."""
    shape, n, itemsize = case
    return f"{shape} of {n} float{8 * itemsize}"


def measure(arch):
    """The `Usage` of every case of this architecture, by name."""

    def one(case):
        log = nvrtc.compile_kernel("combine", arch, defines(*case))
        return name_of(case), nvrtc.usage(log)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(pool.map(one, (*EVERYWHERE, *IN_DETAIL.get(arch, ()))))


def main():
    """Write the table."""
    record = {}
    for arch in ARCHES:
        record[arch] = {name: usage.registers for name, usage in measure(arch).items()}
    TABLE.write_text(json.dumps({"nvrtc": nvrtc.version(), "registers": record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
