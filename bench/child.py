"""Run one command and print what it and all its processes took: ``python -IS child.py ORDER``.

This runs in a small process of its own, for two reasons. Linux counts the memory of a process that
starts a program in the program's peak (until the program is loaded, by exec), so a peak is at least
that of this process, some 10 MB. And processes that a program leaves behind become children of this
one, which has declared itself their reaper, so that they are counted too.
"""

import ctypes
import json
import os
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def main() -> None:
    """Run the command of the order, a JSON object; print what it took as the last line."""
    order = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if order["cores"]:
        os.sched_setaffinity(0, order["cores"])
    os.chdir(order["folder"])
    # The command prints to the same output as this process, which prints last.
    opened = [(os.POSIX_SPAWN_OPEN, 0, order["stdin"], os.O_RDONLY, 0)]
    start = time.perf_counter()
    pid = os.posix_spawnp(order["command"][0], order["command"], os.environ, file_actions=opened)
    print("\n" + json.dumps(_wait(pid, start)))


def _wait(pid: int, start: float) -> dict[str, float]:
    """What a command took, waiting for its end and for all processes that it left behind."""
    taken = {"code": -1, "seconds": 0.0, "cpu_seconds": 0.0, "peak": 0}
    while True:
        try:
            ended, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            return taken
        if ended == pid:
            taken["seconds"] = time.perf_counter() - start
            taken["code"] = os.waitstatus_to_exitcode(status)
        taken["cpu_seconds"] += used.ru_utime + used.ru_stime
        taken["peak"] = max(taken["peak"], 1024 * used.ru_maxrss)


if __name__ == "__main__":
    main()
