"""gpustack's command line in a process that has loaded everything: ``-m bench.started ORDER``.

The order is a JSON object: ``warm`` and ``words``, what the command line is told first, and what
it is told then, which is timed. The last line of the output says what that took.
"""

import json
import sys
import time

from gpustack.cli import cli


def main() -> None:
    """Run the order of the command line."""
    order = json.loads(sys.argv[1])
    cli.main(order["warm"], standalone_mode=False)
    cpu, wall = time.process_time(), time.perf_counter()
    cli.main(order["words"], standalone_mode=False)
    taken = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    print("\n" + json.dumps(taken))


if __name__ == "__main__":
    main()
