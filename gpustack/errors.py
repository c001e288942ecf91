"""The exceptions and the warning of gpustack.

::

    GpustackError
    +-- InputError (ValueError)          the caller gave something unusable
    |   +-- RecipeError                  a recipe value is out of its range
    |   +-- FrameError (.name)           one frame or file is unusable; names it
    |   |   +-- MissingFileError (FileNotFoundError)
    |   +-- MismatchError (TypeError)    frames disagree in shape or unit
    |   +-- MemoryLimitError             the memory limit is below one row
    +-- OutputError (OSError)            a file cannot be written under that name
    |   +-- WriteError                   the system could not write it: a full disk, for one
    +-- OutOfMemoryError (MemoryError)   memory ran out, of the machine or of a device
    +-- MissingPackageError (ImportError)  an extra is needed that is not installed
    +-- BackendError (RuntimeError)      a backend was asked for that cannot work here
    +-- ClusterError (RuntimeError)      a dask cluster was lost, or cannot be used

    GpustackWarning (UserWarning)        something unusual that does not stop a run

Each error also derives from the builtin that numpy, astropy or ccdproc would raise,
so that code written for them keeps catching it.
"""


class GpustackError(Exception):
    """Base of every error that gpustack raises on purpose."""


class InputError(GpustackError, ValueError):
    """The caller gave something that cannot be used."""


class RecipeError(InputError):
    """A recipe value is out of its range or contradicts another."""


class FrameError(InputError):
    """One frame is unusable.

    Parameters
    ----------
    name : str
        The file, or the name of a frame in memory (``"frame 3"``).
    problem : str
        What was expected and what was found.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Support pickling, as errors of cluster workers come from other processes."""
        return type(self), (self.name, self.problem)


class MissingFileError(FrameError, FileNotFoundError):
    """There is no such file."""


class MismatchError(InputError, TypeError):
    """Frames of one stack disagree in shape or unit."""


class MemoryLimitError(InputError):
    """The memory limit does not even hold one row of all frames.

    Parameters
    ----------
    problem : str
    enough : int
        The limit in bytes that would suffice, as far as the code that raises the error knows;
        0 is unknown. Code that keeps part of the limit for something else adds it by `beside`.
    """

    def __init__(self, problem: str, enough: int = 0) -> None:
        super().__init__(problem)
        self.problem, self.enough = problem, enough

    def __str__(self) -> str:
        """The problem, and a limit that would suffice, rounded up to kB."""
        size = -(-self.enough // 1000)
        return f"{self.problem}; at least {size}kB would do" if size else self.problem

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        """Support pickling."""
        return type(self), (self.problem, self.enough)

    def beside(self, held: int, told: str) -> "MemoryLimitError":
        """The same error where `held` bytes of the limit hold something else, as `told` says."""
        return type(self)(self.problem + told, self.enough and self.enough + held)


class OutputError(GpustackError, OSError):
    """A file cannot be written under that name: it exists, for one; nothing is left behind."""


class WriteError(OutputError):
    """The system could not write a file: the disk is full, or permission is missing."""


class OutOfMemoryError(GpustackError, MemoryError):
    """The machine or a device has less memory than a run within its limit uses."""


class MissingPackageError(GpustackError, ImportError):
    """A package that an extra of gpustack brings is not installed."""


class BackendError(GpustackError, RuntimeError):
    """A backend that was asked for by name cannot work here."""


class ClusterError(GpustackError, RuntimeError):
    """A dask cluster was lost, or cannot be used."""


class GpustackWarning(UserWarning):
    """Something unusual that does not stop a run."""
