"""Runs whole processes in turn over the same file and prints their CPU time as ratios.

    python3 tests/bench/compare.py --programs DIR --flowlog FLOWLOG --data rows.log.gz [--runs 5] [--quick]
                                   [--vrl PROGRAM] [--at-most RATIO] [--peak MIB]

DIR has the programs of tests/bench (inflate, naive), PROGRAM is the one of tests/bench/vrl. Every round runs each command
once, in turn, so that a ratio is of two runs that followed one another; what is reported is the median of the rounds' ratios
with the smallest and the largest.
CPU time is user and system time of the process and its children as the system counts it, on one processor. Other load
on the machine moves the figures less than it moves wall time, but it does move them: shared caches are shared.
With --at-most and --peak it fails if `flowlog analyze` takes more than so many times what inflating takes, or more memory.
"""

import argparse
import datetime
import os
import platform
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys

ANSWER = re.compile(r"(\d+) records, (\d+) packets, (\d+) bytes, (\d+) sums, (\d+) refused connections")


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {len(models)} processors, {platform.release()}"


def cpu_seconds(command):
    """User and system time, peak memory in MiB and output of one run. Its own child, so that nothing else is counted."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        run = subprocess.run("set -o pipefail; " + command, shell=True, stdout=subprocess.PIPE, text=True, check=False, executable="/bin/bash")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = run.stdout.strip().splitlines()[-1][-400:] if run.stdout.strip() else ""
        text = f"{run.returncode}\n{used.ru_utime + used.ru_stime}\n{used.ru_maxrss / 1024}\n{line}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        status, seconds, peak, line = (file.read().split("\n", 3) + [""] * 4)[:4]
    os.waitpid(child, 0)
    if status != "0":
        sys.exit(f"exit status {status}: {command}")
    return float(seconds), float(peak), line


def commands(options):
    data, programs = shlex.quote(options.data), options.programs
    here = os.path.dirname(os.path.abspath(__file__))
    found = {
        "inflate to nothing (flate2, zlib-rs)": f"{programs}/inflate {data}",
        "flowlog analyze": f"{options.flowlog} analyze --format json {data} > /dev/null",
        "decoding and rolling up alone": f"{programs}/roll-up {data}",
        "plain Rust": f"{programs}/naive {data}",
    }
    if options.quick:
        return found
    if options.vrl:
        found["VRL's parser"] = f"{options.vrl} {data}"
    if shutil.which("gawk"):
        found["zcat and gawk"] = f"zcat {data} | gawk -f {here}/sums.awk"
    else:
        print("skipped: gawk is not installed", file=sys.stderr)
    for engine in ("duckdb", "chdb", "polars"):
        if subprocess.run([sys.executable, "-c", f"import {engine}"], capture_output=True, check=False).returncode == 0:
            found[engine] = f"{sys.executable} {here}/engines.py {engine} {data}"
        else:
            print(f"skipped: {engine} is not installed", file=sys.stderr)
    return found


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description="Compares CPU time of whole processes.")
    parser.add_argument("--programs", required=True)
    parser.add_argument("--flowlog", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--vrl", help="Vector's parser with the plain program's sums")
    parser.add_argument("--quick", action="store_true", help="only what is built from this repository")
    parser.add_argument("--at-most", type=float, help="the most that analyze may take, times inflating (median)")
    parser.add_argument("--peak", type=float, help="the most memory that analyze may take, in MiB")
    options = parser.parse_args()

    todo = commands(options)
    seconds = {name: [] for name in todo}
    peaks = dict.fromkeys(todo, 0.0)
    answers = {}
    for _ in range(options.runs):
        for name, command in todo.items():
            took, peak, line = cpu_seconds(command)
            seconds[name].append(took)
            peaks[name] = max(peaks[name], peak)
            if answer := ANSWER.search(line):
                answers[name] = answer[0]
    if len(set(answers.values())) > 1:
        sys.exit("the answers differ:\n" + "\n".join(f"{name}: {answer}" for name, answer in answers.items()))

    inflate, flowlog = (seconds[name] for name in list(todo)[:2])
    print(f"{datetime.date.today()}, {processor()}; {os.path.getsize(options.data)} bytes of gzip, {options.runs} rounds;")
    if answers:
        print(f"all of {', '.join(answers)} found {next(iter(answers.values()))}.")
    print()
    print("| program | CPU s | × inflating | × flowlog analyze | peak MiB |")
    print("|---|---|---|---|---|")
    for name, times in seconds.items():
        by_inflate = spread([a / b for a, b in zip(times, inflate)])
        by_flowlog = spread([a / b for a, b in zip(times, flowlog)])
        print(f"| {name} | {spread(times)} | {by_inflate} | {by_flowlog} | {peaks[name]:.0f} |")

    ratio, peak = statistics.median([a / b for a, b in zip(flowlog, inflate)]), peaks["flowlog analyze"]
    if options.at_most is not None and ratio > options.at_most:
        sys.exit(f"flowlog analyze takes {ratio:.2f} times what inflating takes, of {options.at_most} at most")
    if options.peak is not None and peak > options.peak:
        sys.exit(f"flowlog analyze takes {peak:.0f} MiB, of {options.peak:.0f} at most")


if __name__ == "__main__":
    main()
