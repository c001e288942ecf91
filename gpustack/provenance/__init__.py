"""Where a result comes from: the report of a run, from which it can be made again.

Modules, each importing only those before it: `paths` writes down where files are, `schema` says
what a report holds, checks and reads it, `hashes` takes those of inputs and outputs, `timing`
tells how long a run takes and on what, `draft` puts a report together. This is their door.
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
