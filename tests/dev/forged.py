"""Writes one object of a million rows that a stranger invented: python3 tests/dev/forged.py KIND FILE

interfaces   each row of another interface
times        each row of another window, of one interface
hosts        each row of another source and another host, refused on 20,000 interfaces within an hour
"""

import gzip
import pathlib
import sys

HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
START, ROWS = 1_793_491_200, 1_000_000


def row(kind, n):
    """One refused row."""
    interface, start, source, host = 0, START, "203.0.113.9", "10.0.0.5"
    if kind == "interfaces":
        interface, start = n, START + n % 3600
    elif kind == "times":
        start = 300 * n
    else:
        interface, start = n % 20_000, START + n % 3600
        source, host = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", f"10.200.{n >> 8 & 255}.{n & 255}"
    ports = f"{40000 + n % 20000} {n % 50000}"
    return f"2 123456789012 eni-{interface:017x} {source} {host} {ports} 6 1 40 {start} {start} REJECT OK\n"


def main():
    kind, path = sys.argv[1], pathlib.Path(sys.argv[2])
    if kind not in ("interfaces", "times", "hosts"):
        sys.exit(__doc__)
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", compresslevel=1, newline="") as file:
        file.write(HEADER + "\n")
        file.writelines(row(kind, n) for n in range(ROWS))


if __name__ == "__main__":
    main()
