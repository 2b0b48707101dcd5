#!/usr/bin/env python3
"""`make startup`: from exec to the first request for an event, of a function of ours and of one that has every default.

    startup.py --ours target/lambda/flowlog-s3-parser/bootstrap --stock STOCK [--pairs 40] [--warm RATIO] [--cold RATIO]

Both run in turn behind a Runtime API that only listens: the clock starts before the process is made and ends with the first byte of
`GET …/invocation/next` on the loopback interface. `SSL_CERT_FILE` names a file of one certificate authority, then a bundle of all that
this machine trusts, as Lambda's system has one: reading certificates is most of a start, and nearly the same in both programs.
*Warm*: program and bundle are in memory. *Cold*: their pages are thrown away before each start (`posix_fadvise`, on copies that nobody
else has mapped); the C library stays, and what the disk below keeps in memory is not ours to empty. Processor time is user and system
time of the process up to then. With --warm and --cold it fails where the ratio of medians is above that with one certificate.
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time

from services import ENVIRONMENT

BUNDLES = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem")
END = "-----END CERTIFICATE-----"
# Seconds that a start may take.
LIMIT = 30


def start(program, bundle, server):
    """Seconds until the first request, processor seconds of the process by then, and its faults that went to the disk."""
    environment = {
        **ENVIRONMENT,
        "PATH": os.environ["PATH"],
        "SSL_CERT_FILE": bundle,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.getsockname()[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    }
    null = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(program, [program], environment, file_actions=null)
    try:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(LIMIT)
            request = connection.recv(65536)
            seconds = time.perf_counter() - began
    finally:
        os.kill(pid, signal.SIGKILL)
        _, _, used = os.wait4(pid, 0)
    if not request.startswith(b"GET /2018-06-01/runtime/invocation/next "):
        sys.exit(f"{program}: the first request is {request[:80]!r}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_majflt


def forget(paths):
    """Throws the pages of these files out of memory."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def measure(programs, bundle, pairs, cold):
    """For each program its starts, in turn, of which the first pair does not count."""
    found = {name: [] for name in programs}
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        for turn in range(pairs + 1):
            # Who goes first changes, so that neither always follows the other.
            for name in list(programs)[:: 1 if turn % 2 else -1]:
                if cold:
                    forget([programs[name], bundle])
                found[name].append(start(programs[name], bundle, server))
    return {name: starts[1:] for name, starts in found.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True, type=pathlib.Path)
    parser.add_argument("--stock", required=True, type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--warm", type=float)
    parser.add_argument("--cold", type=float)
    options = parser.parse_args()
    certificates = next((path for path in BUNDLES if os.path.exists(path)), None)
    if certificates is None:
        sys.exit(f"no certificate bundle in any of {', '.join(BUNDLES)}")
    failed = []
    with tempfile.TemporaryDirectory(prefix="flowlog-startup-", dir=".run") as folder:
        bundle, one = f"{folder}/bundle.pem", f"{folder}/one.pem"
        shutil.copyfile(certificates, bundle)
        text = pathlib.Path(bundle).read_text(encoding="utf-8")
        pathlib.Path(one).write_text(text[: text.index(END) + len(END)] + "\n", encoding="utf-8")
        programs = {}
        for name in ("ours", "stock"):
            programs[name] = shutil.copy(getattr(options, name), f"{folder}/{name}")
        # What has not been written cannot be thrown away.
        os.sync()
        sizes = ", ".join(f"{name} {os.path.getsize(path) / (1 << 20):.1f} MiB" for name, path in programs.items())
        print(f"{sizes}; {options.pairs} pairs; median (smallest–largest)\n")
        print("| | ours, ms | stock, ms | ours ÷ stock, by the clock | ours, CPU ms | stock, CPU ms | ours ÷ stock, CPU | faults from disk |")
        print("|---|---|---|---|---|---|---|---|")
        bounds = {"warm": options.warm, "cold": options.cold}
        for file, kind in ((file, kind) for file in (one, bundle) for kind in bounds):
            found = measure(programs, file, options.pairs, kind == "cold")
            clock, cpu, faults = ({name: [start[n] for start in starts] for name, starts in found.items()} for n in range(3))
            count = 1 if file == one else text.count(END)
            cells = [f"{count} certificate{'' if count == 1 else 's'}, {kind}"]
            for of in (clock, cpu):
                cells += [spread([1000 * seconds for seconds in of[name]], 1) for name in ("ours", "stock")]
                cells.append(spread([a / b for a, b in zip(of["ours"], of["stock"]) if b]))
            cells.append(" · ".join(f"{statistics.median(faults[name]):.0f}" for name in ("ours", "stock")))
            print(f"| {' | '.join(cells)} |", flush=True)
            ratio = statistics.median(clock["ours"]) / statistics.median(clock["stock"])
            bound = bounds[kind] if file == one else None
            if bound is not None and ratio > bound:
                failed.append(f"{kind}: {ratio:.2f} of what the stock function takes, of {bound} at most")
    return "\n".join(failed)


if __name__ == "__main__":
    sys.exit(main() or 0)
