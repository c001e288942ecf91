"""Run each case in a fork of one process, so that shared imports are loaded only once."""

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: The program of the process that forks. A child leaves the loop, runs its case and ends as any
#: interpreter does. One that hangs is killed after 100 s.
SERVER = """
import json, os, signal, sys
exec(sys.argv[1])
for line in sys.stdin:
    case = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
for number, path in enumerate((os.devnull, case["stdout"], case["stderr"])):
    os.dup2(os.open(path, os.O_RDWR), number)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup
signal.alarm(100)
os.chdir(case["cwd"])
sys.argv[1:] = case["words"]
exec(case["code"])
"""


class Forks:
    """Run cases in children of one process; see `forks`."""

    def __init__(self, server, folder):
        self._server, self._folder = server, folder

    def run(self, code, *words, cwd=ROOT):
        """Run this code in a child, with `words` as arguments; return as `subprocess.run` does."""
        said = {name: self._folder / name for name in ("stdout", "stderr")}
        for path in said.values():
            path.write_text("")
        case = {"code": code, "words": [*map(str, words)], "cwd": str(cwd)}
        case |= {name: str(path) for name, path in said.items()}
        self._server.stdin.write(json.dumps(case) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return subprocess.CompletedProcess(words, code, *(p.read_text() for p in said.values()))


@contextmanager
def forks(loads=""):
    """Yield the `Forks` of a fresh process that has run the statement `loads` in this checkout."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, loads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as server,
    ):
        yield Forks(server, Path(folder))
