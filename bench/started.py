"""Time gpustack's command line in a process that has loaded everything.

Run as ``python -m bench.started ORDER``. The order is a JSON object with ``warm``, the words of a
first command line, and ``words``, those of a second one, which is timed. The last line of the
output has the times.
"""

import json
import sys
import time

from gpustack.cli import cli


def main() -> None:
    """Run the order given on the command line."""
    order = json.loads(sys.argv[1])
    cli.main(order["warm"], standalone_mode=False)
    cpu, wall = time.process_time(), time.perf_counter()
    cli.main(order["words"], standalone_mode=False)
    taken = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    print("\n" + json.dumps(taken))


if __name__ == "__main__":
    main()
