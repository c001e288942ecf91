"""Write the table of the registers that kernels use: ``python tests/registers.py``.

It compiles all cases, which takes a minute or two, and writes kernels/registers.json. The table
contains a hash of its sources. The tests compare the hash and compile a few cases; after a change
of the kernels, the table must be written again, so that its diff shows what the change costs in
registers.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import nvrtc
from hostbuild import KERNELS
from kernel_shapes import defines

TABLE = KERNELS / "registers.json"
#: Bytes of shared memory that a block may use without a special attribute.
MOST_SHARED = 48 * 1024
ARCHES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")

#: (shape, frames, itemsize of the working dtype). These show whether a device needs other code;
#: the tests compile some of them. The other cases were found to differ little between devices.
EVERYWHERE = (
    ("median", 32, 4),
    ("masked-clip-median", 32, 4),
    ("fits-scaled-clip", 32, 4),
    ("fits-every-clip", 32, 4),
)
#: One device in detail: the fewest and the most frames that registers hold, those that shared
#: memory holds, and more.
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
        *(("by-frame-mean", n, 4) for n in (25, 128, 360, 1000)),
        ("clip-mean", 300, 4),
        *(("masked-clip-median", n, 8) for n in (64, 186)),
        ("masked-clip-median", 1000, 4),
        ("fits-every-clip", 64, 8),
        ("fits-every-clip", 1000, 4),
    )
}


def name_of(case):
    """The name of a case in the table."""
    shape, n, itemsize = case
    return f"{shape} of {n} float{8 * itemsize}"


def cases(arch):
    """The cases that the table contains for this architecture."""
    return (*EVERYWHERE, *IN_DETAIL.get(arch, ()))


def made_of():
    """A hash of all that determines the table, except for the compiler."""
    digest = hashlib.sha256(repr(nvrtc.OPTIONS).encode())
    for source in sorted((*KERNELS.glob("*.cu"), *KERNELS.glob("*.h"))):
        digest.update(source.name.encode() + source.read_bytes())
    for arch in ARCHES:
        told = [(arch, name_of(case), defines(*case)) for case in cases(arch)]
        digest.update(repr(told).encode())
    return digest.hexdigest()


def measure(arch, some):
    """Compile some cases for this architecture and return their `Usage` by name.

    Raises
    ------
    AssertionError
        If a kernel spills, has a stack frame or needs more than `MOST_SHARED` bytes.
    """

    def one(case):
        log = nvrtc.compile_kernel("combine", arch, defines(*case))
        return name_of(case), nvrtc.usage(log)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(pool.map(one, some))
    for name, usage in found.items():
        assert (usage.spills, usage.stack) == (0, 0), f"{arch}, {name}: {usage}"
        assert usage.shared <= MOST_SHARED, f"{arch}, {name}: {usage}"
    return found


def main():
    """Write the table."""
    record = {}
    for arch in ARCHES:
        found = measure(arch, cases(arch))
        record[arch] = {name: usage.registers for name, usage in found.items()}
    table = {"nvrtc": nvrtc.version(), "made of": made_of(), "registers": record}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
