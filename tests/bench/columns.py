"""Rows per second of `flowlog analyze` over the same rows as Parquet, as text of the same 29 fields, and as the default format.

    python3 tests/bench/columns.py --flowlog FLOWLOG --folder .run/columns [--rows 1000000] [--runs 5] [--at-least RATIO]

All three are generated from one seed, and must have the same totals. Whole processes in turn on one processor, CPU time, ratios of runs
that followed one another, as `compare.py` does it. Parquet's columns that nothing asks for are not read. With --at-least it fails if
Parquet has fewer rows a second than so many times what the text of 29 fields has.
"""

import argparse
import datetime
import json
import pathlib
import shlex
import statistics
import subprocess
import sys

from compare import cpu_seconds, processor, spread

PARQUET, TEXT, DEFAULT = "Parquet, 29 fields", "text, 29 fields", "text, default format"
PLANS = {PARQUET: ("v5", "parquet"), TEXT: ("v5", "plain-text"), DEFAULT: ("v2", "plain-text")}


def generate(options):
    """A folder of objects for each kind; those of an earlier run are taken again."""
    found = {}
    for name, (fields, file_format) in PLANS.items():
        folder = options.folder / f"{options.rows}-{fields}-{file_format}"
        if not (folder / "done").exists():
            command = [options.flowlog, "generate", "--format", fields, "--file-format", file_format]
            command += ["--minutes", "5", "--rate", str(options.rows // 5), "-o", folder]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            (folder / "done").touch()
        found[name] = folder / "AWSLogs"
    return found


def totals(flowlog, folder):
    """What an answer says of all rows, without what a format may lack."""
    run = subprocess.run([flowlog, "analyze", "--format", "json", folder], check=True, capture_output=True)
    answer = json.loads(run.stdout)
    rows = sum(file["read"] for file in answer["files"])
    return rows, {"rows": rows, "totals": answer["totals"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flowlog", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--at-least", type=float)
    options = parser.parse_args()
    folders = generate(options)
    answers = {name: totals(options.flowlog, folder) for name, folder in folders.items()}
    if len({json.dumps(answer, sort_keys=True) for _, answer in answers.values()}) > 1:
        sys.exit("the answers differ:\n" + "\n".join(f"{name}: {answer}" for name, (_, answer) in answers.items()))
    rows = answers[PARQUET][0]
    seconds = {name: [] for name in folders}
    for _ in range(options.runs):
        for name, folder in folders.items():
            command = f"{options.flowlog} analyze --format json {shlex.quote(str(folder))} > /dev/null"
            seconds[name].append(cpu_seconds(command)[0])
    print(f"{datetime.date.today()}, {processor()}; {rows} rows, {options.runs} rounds\n")
    print("| rows as | MB | CPU s | rows/s | rows/s, × text of 29 fields |")
    print("|---|--:|---|--:|---|")
    for name, times in seconds.items():
        size = sum(path.stat().st_size for path in folders[name].rglob("*") if path.is_file()) / 1e6
        ratio = spread([b / a for a, b in zip(times, seconds[TEXT])])
        print(f"| {name} | {size:.1f} | {spread(times)} | {rows / statistics.median(times):,.0f} | {ratio} |")
    ratio = statistics.median(b / a for a, b in zip(seconds[PARQUET], seconds[TEXT]))
    if options.at_least is not None and ratio < options.at_least:
        sys.exit(f"Parquet has {ratio:.2f} times the rows a second of text, of {options.at_least} at least")


if __name__ == "__main__":
    main()
