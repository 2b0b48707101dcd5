"""Event time until somebody is told of a scan: captured and generated ones.

A recording is cut off after each record in turn, in the order in which the records end, and `flowlog replay` says
whether the part that is left would have been told: what the deployed rules would do if every record were delivered
as soon as it ended. What AWS adds on top (the aggregation interval, the delivery) is no event time.
"""

import collections
import functools
import gzip
import multiprocessing
import pathlib
import statistics
import sys
import tempfile

from evaluate_days import INTENSITIES, generate, replay

# A scan that tries so many doors in a minute is fast.
FAST = 25
# The two ways to look at it: whatever message names the scanner first, and the rule that is made for scans.
ANY, SCAN = "first message", "port-scan"


def read(path):
    """The header and the rows of a recording (a file, or a folder of objects), as dictionaries with their lines."""
    header, found = "", []
    for file in sorted(path.rglob("*.log*")) if path.is_dir() else [path]:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt") as lines:
            header = next(lines).rstrip("\n")
            fields = header.split()
            for line in lines:
                row = dict(zip(fields, line.split()))
                if row["log-status"] == "OK":
                    found.append(row | {"line": line, "start": int(row["start"]), "end": int(row["end"])})
    return header, sorted(found, key=lambda row: (row["end"], row["start"]))


def told(flowlog, header, rows, source, eni, rule):
    """Whether the rows given are told: by a message (or, of the rule for scans, a finding) about the source."""
    with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
        file.write(header + "\n" + "".join(row["line"] for row in rows))
        file.flush()
        got = replay(flowlog, file.name)
    for finding in got["findings"]:
        if source in finding["sources"] and finding["interface_id"] == eni:
            if rule == ANY and finding["raised"] == "sent" or rule == SCAN == finding["type"]:
                return True
    return False


def first(flowlog, header, rows, source, eni, rule):
    """The row with which it is told; None if it never is. Only rows of the interface matter to these rules."""
    if not told(flowlog, header, rows, source, eni, rule):
        return None
    low, high = 0, len(rows)
    while high - low > 1:
        middle = (low + high) // 2
        if told(flowlog, header, rows[:middle], source, eni, rule):
            high = middle
        else:
            low = middle
    return rows[high - 1]


def measure(flowlog, header, rows, source, eni):
    """Of one scan: how many doors it tries in its busiest minute, and by rule the seconds from its first refused record
    to the end of the deciding one, and from that one's start to its end."""
    refused = [r for r in rows if r["action"] == "REJECT" and r["srcaddr"] == source]
    begun = min(r["start"] for r in refused)
    pace, times = 0, {}
    for row in refused:
        minute = {(r["dstaddr"], r["dstport"]) for r in refused if row["start"] <= r["start"] < row["start"] + 60}
        pace = max(pace, len(minute))
    for rule in (ANY, SCAN):
        row = first(flowlog, header, rows, source, eni, rule)
        if row:
            times[rule] = (row["end"] - begun, row["end"] - row["start"])
    return pace, times


def generated(flowlog, intensity, seed):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        truth = generate(flowlog, seed, folder, 30, ["port-scan"], intensity)
        header, rows = read(folder)
        attack = truth["attacks"][0]
        (eni,) = attack["interface_ids"]
        rows = [r for r in rows if r["interface-id"] == eni]
        return measure(flowlog, header, rows, attack["source"], eni)


def captured(flowlog, path, jobs):
    """Every interface that a source tries 25 doors of within 15 minutes, in one capture."""
    header, rows = read(path)
    contacts = collections.defaultdict(set)
    for row in rows:
        if row["action"] == "REJECT":
            contacts[row["srcaddr"], row["interface-id"], row["start"] // 900].add((row["dstaddr"], row["dstport"]))
    scans = sorted({(source, eni) for (source, eni, _), doors in contacts.items() if len(doors) >= 25})
    tasks = [(flowlog, header, [r for r in rows if r["interface-id"] == eni], source, eni) for source, eni in scans]
    with multiprocessing.Pool(jobs) as pool:
        return pool.starmap(measure, tasks)


def cell(seconds):
    if not seconds:
        return "–"
    spread = statistics.quantiles(seconds, n=10, method="inclusive") if len(seconds) > 1 else seconds
    return f"{statistics.median(seconds):.0f} ({spread[0]:.0f} to {spread[-1]:.0f})"


def row(name, scans):
    cells = [str(len(scans)), cell([pace for pace, _ in scans])]
    for rule in (ANY, SCAN):
        told = [times[rule] for _, times in scans if rule in times]
        cells.append(f"{cell([since for since, _ in told])}, {len(told)} told")
    last = [times[ANY][1] for _, times in scans if ANY in times]
    print(f"| {name} | {' | '.join([*cells, cell(last)])} |")


def evaluate(flowlog, seeds, jobs, data):
    print(f"### Seconds of event time until a scan is told, seeds {seeds[0]} to {seeds[-1]}\n")
    print("Median (and the tenth and ninetieth of a hundred). *First message*: anything that wakes somebody and names the "
          "scanner. From the start of its first refused record to the end of the one that decides; and from that one's start.\n")
    print("| scans of one interface | how many | doors in the busiest minute | to the first message | to `port-scan` "
          "| of it, the deciding record |")
    print("|---|---:|---:|---:|---:|---:|")
    everything = []
    with multiprocessing.Pool(jobs) as pool:
        for intensity in INTENSITIES:
            scans = pool.map(functools.partial(generated, flowlog, intensity), seeds)
            print(".", end="", file=sys.stderr, flush=True)
            row(f"generated, {intensity} %", scans)
            everything += scans
    if data:
        scans = captured(flowlog, data / "strato_002_nmap.v5.log.gz", jobs)
        row("strato_002_nmap", scans)
        everything += scans
    row(f"**fast: ≥ {FAST} doors in a minute**", [scan for scan in everything if scan[0] >= FAST])
    row("slower", [scan for scan in everything if scan[0] < FAST])
    print("\nAWS adds the rest of the aggregation interval (1 or 10 minutes: a record is written when it is over) and its "
          "delivery (about 5 min to CloudWatch Logs, 10 min to S3).\n")
