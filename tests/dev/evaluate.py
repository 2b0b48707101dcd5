#!/usr/bin/env python3
"""Measures the rules beside four baselines; prints the tables of docs/detection.md.

Captures are read from the folder that EVAL_DATA names and skipped aloud without it; generated traffic needs nothing.
Everything runs through `flowlog replay`: the rules, the baselines of interfaces and the alert lifecycle as deployed.
"""

import argparse
import collections
import csv
import gzip
import os
import pathlib
import random
import statistics
import tempfile

import evaluate_days
import evaluate_times
from evaluate_days import replay

W = 300


# For whoever wants to be woken by the Internet: external scans and anomalies notify.
TURNED_UP = """[rules.port-scan]
external = "notify"
[rules.reject-anomaly]
severity = "notify"
"""


def rows(path):
    """Records of a capture, as dictionaries by field."""
    with gzip.open(path, "rt") as lines:
        fields = next(lines).split()
        for line in lines:
            row = dict(zip(fields, line.split()))
            if row["log-status"] == "OK":
                yield row


def is_reply(row):
    return 1 <= int(row["srcport"]) < 1024 and int(row["dstport"]) >= 32768


class Baselines:
    """What neighbours do, on the same rejected records: alarms by (interface, window), with the sources they name."""

    def __init__(self, records):
        per_window = collections.defaultdict(list)
        for row in records:
            per_window[row["interface-id"], int(row["start"]) // W * W].append(row)
        self.alarms = {name: set() for name in ("static >= 10 in 5 min", "25 (host, port) in 15 min",
                                                "10 ports in 60 min (Panther)", "3 sigma")}
        self.sources = {name: set() for name in self.alarms}
        history = collections.defaultdict(list)
        for (eni, window), found in sorted(per_window.items(), key=lambda item: item[0][1]):
            rejected = [r for r in found if r["action"] == "REJECT"]
            by_source = collections.Counter(r["srcaddr"] for r in rejected)
            self.note("static >= 10 in 5 min", eni, window, (s for s, n in by_source.items() if n >= 10))
            self.distinct("25 (host, port) in 15 min", per_window, eni, window, 3, 25, lambda r: (r["dstaddr"], r["dstport"]))
            self.distinct("10 ports in 60 min (Panther)", per_window, eni, window, 12, 10, lambda r: r["dstport"])
            past = history[eni]
            if len(past) >= 72:
                mean, deviation = statistics.fmean(past), statistics.pstdev(past)
                if len(rejected) > mean + 3 * deviation and rejected:
                    self.note("3 sigma", eni, window, by_source)
            past.append(len(rejected))

    def note(self, name, eni, window, sources):
        for source in sources:
            self.alarms[name].add((eni, window))
            self.sources[name].add(source)

    def distinct(self, name, per_window, eni, window, windows, needed, what):
        seen = collections.defaultdict(set)
        now = {r["srcaddr"] for r in per_window[eni, window] if r["action"] == "REJECT"} if (eni, window) in per_window else ()
        for back in range(windows):
            for row in per_window.get((eni, window - back * W), ()):
                if row["action"] == "REJECT" and row["srcaddr"] in now and not is_reply(row):
                    seen[row["srcaddr"]].add(what(row))
        self.note(name, eni, window, (s for s, what in seen.items() if len(what) >= needed))


def interface_days(records):
    return len({(r["interface-id"], int(r["start"]) // W) for r in records}) / 288


def benign(flowlog, data):
    print("### Benign capture (strato_benign_20230220), alarms per interface-day\n")
    path = data / "strato_benign_20230220.v5.log.gz"
    records = list(rows(path))
    days, got = interface_days(records), replay(flowlog, path)
    print(f"{days:.2f} interface-days, {len(records)} records.\n")
    print("| who | alarms per interface-day |\n|---|---:|")
    noted = sum(r["noted"] + r["held_back"] for r in got["rules"].values())
    print(f"| flowlog, notified | {got['notifications'] / days:.2f} |")
    print(f"| flowlog, noted for the digest | {noted / days:.2f} |")
    for name, alarms in Baselines(records).alarms.items():
        print(f"| {name} | {len(alarms) / days:.2f} |")
    for finding in got["findings"]:
        if finding["raised"] in ("sent", "noted"):
            print(f"\nflowlog: {finding['type']} ({finding['severity']}) {finding['raised']}, sources {finding['sources']}")
    print()


def exposed(flowlog, data):
    print("### Exposed hosts: recall of sources by attempts\n")
    print("Attempts: rejected records of a source that the capture labels malicious. Alarms of a baseline: one for each "
          "interface and window; of flowlog: messages.\n")
    for name in ("strato_008", "strato_002_nmap"):
        path = data / f"{name}.v5.log.gz"
        records = list(rows(path))
        attempts = collections.Counter(r["srcaddr"] for r in records if r["action"] == "REJECT")
        truth = collections.Counter()
        with gzip.open(data / f"{name}.truth.csv.gz", "rt") as lines:
            for row in csv.DictReader(lines):
                if int(row["malicious_records"]):
                    truth[row["srcaddr"]] += int(row["malicious_records"])
        wanted = {s for s in truth if attempts[s] >= 25}
        got, days = replay(flowlog, path), interface_days(records)
        paged = {s for f in got["findings"] if f["raised"] == "sent" for s in f["sources"]}
        told = {s for f in got["findings"] for s in f["sources"]}
        print(f"**{name}**: {days:.2f} interface-days, {len(wanted)} malicious sources with >= 25 attempts; "
              f"busiest day {got['busiest_day']} messages, {got['digests']} digests.\n")
        print("| who | alarms or messages | recall, >= 25 attempts |\n|---|---:|---:|")
        share = lambda found: f"{len(wanted & found) / len(wanted):.2f}" if wanted else "-"
        loud = replay(flowlog, path, rules=TURNED_UP)
        woken = {s for f in loud["findings"] if f["raised"] == "sent" for s in f["sources"]}
        print(f"| flowlog, notified | {got['notifications']} | {share(paged)} |")
        print(f"| flowlog, notified, external scans turned up | {loud['notifications']} | {share(woken)} |")
        print(f"| flowlog, with the digest | {got['notifications'] + got['digests']} | {share(told)} |")
        baselines = Baselines(records)
        for baseline, alarms in baselines.alarms.items():
            print(f"| {baseline} | {len(alarms)} | {share(baselines.sources[baseline])} |")
        print()


def bursts(flowlog, data, seed):
    print("### Injected bursts: 20 rejected records from 20 sources in one window of the benign capture\n")
    path, draw = data / "strato_benign_20230220.v5.log.gz", random.Random(seed)
    text = gzip.open(path, "rt").read()
    header = text.splitlines()[0].split()
    records = list(rows(path))
    eni = collections.Counter(r["interface-id"] for r in records).most_common(1)[0][0]
    own = collections.Counter(r["dstaddr"] for r in records if r["interface-id"] == eni).most_common(1)[0][0]
    windows = sorted({int(r["start"]) // W * W for r in records if r["interface-id"] == eni})
    planted = found = 0
    for _ in range(20):
        extra, at = [], []
        for window in windows[84::13]:
            window += draw.randrange(12) * W if window + 12 * W < windows[-1] else 0
            at.append(window)
            for n in range(20):
                row = dict.fromkeys(header, "-") | {
                    "version": "5", "account-id": "123456789012", "interface-id": eni, "srcaddr": f"198.51.100.{n + 1}",
                    "dstaddr": own, "srcport": str(draw.randrange(1025, 65535)), "dstport": str(draw.choice((23, 445, 3389))),
                    "protocol": "6", "packets": "1", "bytes": "40", "start": str(window + draw.randrange(200)),
                    "end": str(window + 250), "action": "REJECT", "log-status": "OK", "tcp-flags": "2",
                    "flow-direction": "ingress"}
                extra.append(" ".join(row[f] for f in header))
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "with-bursts.log"
            file.write_text(text.rstrip("\n") + "\n" + "\n".join(extra) + "\n")
            got = replay(flowlog, file)
        hit = {f["window"] for f in got["findings"] if f["type"] in ("reject-burst", "reject-anomaly")}
        planted += len(at)
        found += sum(1 for window in at if window in hit)
    print(f"{found} of {planted} bursts found ({found / planted:.0%}).\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("flowlog")
    parser.add_argument("--seeds", type=int, default=100, help="how many generated days")
    parser.add_argument("--first", type=int, default=evaluate_days.UNSEEN, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    data = os.environ.get("EVAL_DATA")
    data = pathlib.Path(data) if data and pathlib.Path(data).is_dir() else None
    if data:
        benign(args.flowlog, data)
        exposed(args.flowlog, data)
        bursts(args.flowlog, data, 1)
    else:
        print("SKIPPED: captures (EVAL_DATA names no folder with them)\n")
    if args.seeds:
        seeds = range(args.first, args.first + args.seeds)
        evaluate_times.evaluate(args.flowlog, seeds, args.jobs, data)
        evaluate_days.evaluate(args.flowlog, seeds, args.jobs)


if __name__ == "__main__":
    main()
