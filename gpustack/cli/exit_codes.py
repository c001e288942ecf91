"""The exit codes of the command line; 128 + N is the code of a command ended by signal N."""

from gpustack.errors import (
    BackendError,
    ClusterError,
    MissingPackageError,
    OutOfMemoryError,
    WriteError,
)

#: The result of the demo is wrong, or a replay differs.
DIFFERS = 1
#: Unusable input.
BAD_INPUT = 2
#: Not possible on this machine.
MACHINE = 3

#: The words for `MACHINE` in help texts.
MACHINE_WORDS = "3 not possible on this machine: backend, memory, disk, missing package"

_OF_MACHINE = (
    BackendError,
    ClusterError,
    MissingPackageError,
    WriteError,
    OutOfMemoryError,
    MemoryError,
)


def code_of(error: Exception) -> int:
    """The exit code for an error of gpustack, or a MemoryError."""
    return MACHINE if isinstance(error, _OF_MACHINE) else BAD_INPUT
