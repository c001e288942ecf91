"""Ask the programs again, and compare: ``python -m bench.parity``.

``--write`` renews what is kept in tests/golden; ``--into PAGE`` fills the tables of a page
from it, for which no program is needed. How long they take is a matter of `bench.peers`.
"""

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from bench.parity import golden, report
from bench.parity.cases import CASES, Case


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 = a program's answer differs from the kept one."""
    options = _parse(arguments)
    if options.into:
        options.into.write_text(report.fill(options.into.read_text()))
        return 0
    present = [name for name, module in golden.PROGRAMS.items() if module.version()]
    if not present:
        print("expected IRAF or Siril, found neither; see bench/README.md", file=sys.stderr)
        return 2
    chosen = {
        name: case
        for name, case in CASES.items()
        if case.program in present and fnmatchcase(name, options.case)
    }
    if options.write:
        return _write(chosen)
    changed = 0
    for name, case in chosen.items():
        answer, kept = golden.run(case), golden.load(name)
        same = report.same(answer, kept)
        changed += not same
        print(f"{name:60} {'as kept' if same else 'CHANGED':8} {report.line(case, answer)}")
    return int(changed > 0)


def _write(chosen: dict[str, Case]) -> int:
    if len(chosen) < len(CASES):
        print(
            f"--write: expected all {len(CASES)} cases, which need IRAF, Siril and no --case, "
            f"got {len(chosen)}",
            file=sys.stderr,
        )
        return 2
    golden.write({name: golden.run(case) for name, case in chosen.items()})
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parity", description=__doc__)
    parser.add_argument("--case", default="*", help="pattern of the names of cases")
    parser.add_argument("--write", action="store_true", help="renew tests/golden")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="fill the tables of a page")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
