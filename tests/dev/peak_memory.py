"""Runs a command, prints its peak resident memory, and fails if that is over a limit in MiB.

    python3 tests/dev/peak_memory.py 256 flowlog analyze big.log.gz
"""

import resource
import subprocess
import sys


def main() -> int:
    limit = int(sys.argv[1])
    command = sys.argv[2:]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    # The largest single process among the children, in KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{peak:.0f} MiB peak (limit {limit}), exit status {status}: {' '.join(command)}")
    return 1 if peak > limit or status != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
