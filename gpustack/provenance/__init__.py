"""Where a result comes from: the report of a run, from which the result can be made again.

Modules, each importing only those before it:

- `paths`: the paths of files, as a report has them.
- `schema`: what a report contains, how it is checked, and how it is read.
- `hashes`: hashes of inputs and outputs.
- `timing`: how long the stages of a run take, and on which backend.
- `draft`: puts a report together.

Other modules import from here.
"""

from gpustack.provenance.draft import (
    alignment_from,
    made_with,
    output_record,
    report_of,
    versions,
)
from gpustack.provenance.hashes import hash_file, hashed
from gpustack.provenance.paths import find
from gpustack.provenance.schema import dumps, read_report
from gpustack.provenance.timing import TimedSource, Watch

__all__ = [
    "TimedSource",
    "Watch",
    "alignment_from",
    "dumps",
    "find",
    "hash_file",
    "hashed",
    "made_with",
    "output_record",
    "read_report",
    "report_of",
    "versions",
]
