#!/usr/bin/env python3
"""Runs fuzz targets and keeps a log of what they did; prints the log as a table.

    fuzz.py run BINARIES [TARGET …] [--runs N] [--seconds N]    run them in turn, each on its corpus; exit 1 if one found something
    fuzz.py table                                               the log as a table in Markdown, added up by target

Corpora, findings and the log live in FUZZ_HOME (`.run/fuzz` if it is not set). A run begins with what is there and with the
seeds of the repository. A finding is a file in `findings/`; its target, given that file as its argument, runs it again.
Standard library only.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = pathlib.Path(os.environ.get("FUZZ_HOME", ROOT / ".run" / "fuzz"))
LOG = HOME / "log.jsonl"
# (target, longest input in bytes): short ones for what is short in life, and quick to look through.
TARGETS = {
    "row": 1024,
    "header": 1024,
    "lines": 4096,
    "gzip": 4096,
    "parquet": 16384,
    "subscription": 4096,
    "s3_event": 4096,
    "blob": 8193,
    "subject": 1024,
}
# Seconds that one input may take on a machine that does much else, and MiB that the process may; a target bounds its own
# allocations more tightly.
TIMEOUT, MEMORY = 300, 512


def run(binaries, target, runs, seconds):
    """Runs one target; returns how many findings it added. None of its output is kept but the figures."""
    corpus, findings = HOME / "corpus" / target, HOME / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    artifacts = lambda: {path.name for path in findings.glob(f"{target}-*") if "-slow-unit-" not in path.name}
    before = artifacts()
    command = [
        str(binaries / target), str(corpus), str(ROOT / "fuzz" / "seeds" / target), f"-dict={ROOT / 'fuzz' / 'words.dict'}",
        f"-max_len={TARGETS[target]}", f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={findings}/{target}-",
        f"-runs={runs}", f"-max_total_time={seconds}", "-print_final_stats=1", "-verbosity=1", "-len_control=20",
    ]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    figure = lambda pattern: int((re.findall(pattern, done.stderr) or [0])[-1])
    found = sorted(artifacts() - before)
    entry = {
        "target": target,
        "executions": figure(r"stat::number_of_executed_units:\s+(\d+)"),
        "seconds": figure(r"Done \d+ runs in (\d+) second"),
        "edges": figure(r" cov: (\d+)"),
        "corpus": len(list(corpus.iterdir())),
        "rss": figure(r"stat::peak_rss_mb:\s+(\d+)"),
        "findings": found,
        "status": done.returncode,
        "date": datetime.date.today().isoformat(),
    }
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
    speed = entry["executions"] // max(entry["seconds"], 1)
    print(f"{target}: {entry['executions']:,} executions in {entry['seconds']} s ({speed:,}/s), {entry['edges']} edges, "
          f"{entry['corpus']} in the corpus, {len(found)} findings", flush=True)
    if done.returncode != 0:
        print("\n".join(done.stderr.splitlines()[-40:]))
    return len(found) if done.returncode == 0 else max(len(found), 1)


def table():
    """The log, added up by target."""
    entries = [json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]
    print("| target | executions | seconds | edges | corpus | findings |\n|---|--:|--:|--:|--:|--:|")
    rows = {}
    for entry in entries:
        row = rows.setdefault(entry["target"], {"executions": 0, "seconds": 0, "findings": 0})
        for name in ("executions", "seconds"):
            row[name] += entry[name]
        row["findings"] += len(entry["findings"])
        row["edges"], row["corpus"] = entry["edges"], entry["corpus"]
    rows = {name: rows[name] for name in TARGETS if name in rows}
    for name, row in rows.items():
        print(f"| `{name}` | {row['executions']:,} | {row['seconds']:,} | {row['edges']:,} | {row['corpus']:,} | {row['findings']} |")
    total = {name: sum(row[name] for row in rows.values()) for name in ("executions", "seconds", "findings")}
    print(f"| all | {total['executions']:,} | {total['seconds']:,} | | | {total['findings']} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("binaries", type=pathlib.Path)
    running.add_argument("targets", nargs="*", choices=[*TARGETS, []])
    running.add_argument("--runs", type=int, default=-1)
    running.add_argument("--seconds", type=int, default=0)
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        return table()
    if arguments.runs < 0 and arguments.seconds == 0:
        parser.error("say when to stop: --runs or --seconds")
    found = [run(arguments.binaries, target, arguments.runs, arguments.seconds) for target in arguments.targets or TARGETS]
    return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())
