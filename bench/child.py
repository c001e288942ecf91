"""Runs one command and says what it and all that it started took: ``python -IS child.py ORDER``.

A process of its own, and a small one: Linux counts the memory of the process that starts another
one as that one's peak (until it execs), and what a program leaves behind comes back to it, as it
calls itself their reaper. So a peak is at least that of this process, some 10 MB.
"""

import ctypes
import json
import os
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def main() -> None:
    """Run the command of the order, a JSON object; the last line of the output is what it took."""
    order = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if order["cores"]:
        os.sched_setaffinity(0, order["cores"])
    os.chdir(order["folder"])
    # What it prints goes where our own goes; ours comes last.
    opened = [(os.POSIX_SPAWN_OPEN, 0, order["stdin"], os.O_RDONLY, 0)]
    start = time.perf_counter()
    pid = os.posix_spawnp(order["command"][0], order["command"], os.environ, file_actions=opened)
    print("\n" + json.dumps(_wait(pid, start)))


def _wait(pid: int, start: float) -> dict[str, float]:
    """Seconds until the command ends; then wait for all that it left behind."""
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
