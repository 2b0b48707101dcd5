"""Writes one object of rows that a stranger invented: python3 tests/dev/forged.py KIND FILE

interfaces   a million rows, each of another interface
times        each of another window, of one interface
windows      each of another window of four weeks, or of another interface: 125 of them
hosts        each of another source and another host, refused on 20,000 interfaces within an hour
pairs        each of another private source and another private host, refused on 7,900 interfaces within a window
pairs6       the same over IPv6
evidence     each of another private source, refused with more packets and bytes than 32 bits hold
large        the same, accepted, on 1,900 interfaces
talkers      261,000 rows, each accepted from another address, of one interface: what `analyze` holds before it ends a chunk
scans        40,000 port scans: twenty sources try 25 ports of each of 2,000 interfaces
lists        three million rows: on 127 interfaces, in each window of an hour, 32 private sources try 64 doors each
wide         60,000 rows: 2,000 interfaces, three windows of each, ten accepted connections of each in each
"""

import gzip
import pathlib
import sys

HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
# As AWS would name such an object.
KEY = "AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/01/123456789012_vpcflowlogs_us-east-1_fl-1de_20261101T0000Z_00000000.log.gz"
START, ROWS = 1_793_491_200, 1_000_000
KINDS = ("interfaces", "times", "windows", "hosts", "pairs", "pairs6", "evidence", "large", "talkers", "scans", "lists", "wide")
OTHER_ROWS = {"talkers": 261_000, "lists": 3_100_000, "wide": 60_000}


def row(kind, n, first):
    """One row; `first` is the second with which an object's first hour begins."""
    interface, start, source, host, action = 0, first, "203.0.113.9", "10.0.0.5", "REJECT"
    port, numbers, mixed = n % 50000, "1 40", n * 2654435761 & 0xffffff
    if kind == "interfaces":
        interface, start = n, first + n % 3600
    elif kind == "times":
        start = 300 * n
    elif kind == "windows":
        interface, start = n // 8000, first - n % 8000 * 300
    elif kind == "hosts":
        interface, start = n % 20_000, first + n % 3600
        source, host = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", f"10.200.{n >> 8 & 255}.{n & 255}"
    elif kind in ("pairs", "pairs6", "evidence", "large"):
        interface = n % (1900 if kind == "large" else 7900)
        source, host = f"10.{mixed >> 16}.{mixed >> 8 & 255}.{mixed & 255}", f"10.{n & 255}.{mixed & 255}.{n >> 8 & 255}"
        if kind == "pairs6":
            source, host = f"fd00::{mixed >> 8:x}:{mixed & 255:x}:{n & 0xffff:x}", f"fd00:1::{n >> 8 & 0xffff:x}:{mixed & 255:x}"
        elif kind in ("evidence", "large"):
            action = "ACCEPT" if kind == "large" else action
            host, numbers = f"10.200.{interface >> 8}.{interface & 255}", f"{1 << 33} {1 << 43}"
    elif kind == "talkers":
        source, action = f"45.{mixed >> 16}.{mixed >> 8 & 255}.{mixed & 255}", "ACCEPT"
    elif kind == "scans":
        interface, port = n % 2000, 1000 + n // 2000 % 25 * 7
        source, host = f"45.{n // 50_000}.{interface >> 8}.{interface & 255}", f"10.200.{interface >> 8}.{interface & 255}"
    elif kind == "lists":
        interface, start, port = n // 24_576, first + n // 2048 % 12 * 300, 1000 + n % 64 * 7 + n // 64 % 32
        source, host = f"10.{n // 64 % 32}.0.{interface}", f"10.200.{n % 64}.{interface}"
    else:
        interface, start, action = n % 2000, first + n // 2000 % 3 * 300, "ACCEPT"
        source, host = f"10.{interface >> 8}.{interface & 255}.{n // 2000}", f"10.200.{interface >> 8}.{interface & 255}"
    return f"2 123456789012 eni-{interface:017x} {source} {host} {40000 + n % 20000} {port} 6 {numbers} {start} {start} {action} OK\n"


def write(kind, path, first=START):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", compresslevel=1, newline="") as file:
        file.write(HEADER + "\n")
        file.writelines(row(kind, n, first) for n in range(OTHER_ROWS.get(kind, ROWS)))


def main():
    kind, path = sys.argv[1], pathlib.Path(sys.argv[2])
    if kind not in KINDS:
        sys.exit(__doc__)
    write(kind, path)


if __name__ == "__main__":
    main()
