"""What the tables say and what the generator says, in one form: {(interface, window): {action: (records, packets, bytes)}}."""

import json
import subprocess
import time

ATTACKS = ("port-scan", "reject-burst")
TOTALS = {"accept": ("ar", "ap", "ab"), "reject": ("rr", "rp", "rb"), "other": ("or", "op", "ob")}


def partials(items, prefix="fl-"):
    """Sums of the partials of sources whose name begins so."""
    sums = {}
    for item in items:
        pk, sk = item["pk"].split("#"), item["sk"].split("#")
        if pk[0] != "E" or not pk[1].startswith(prefix) or len(sk) < 2 or sk[1] != "P":
            continue
        cell = sums.setdefault((pk[2], int(sk[0][1:])), {action: (0, 0, 0) for action in TOTALS})
        for action, names in TOTALS.items():
            cell[action] = tuple(int(old + item[name]) for old, name in zip(cell[action], names, strict=True))
    # An interface that only had NODATA or SKIPDATA rows has a partial and no sums.
    return {at: cell for at, cell in sums.items() if any(cell[action][0] for action in TOTALS)}


def truth_sums(truth, actions=("accept", "reject")):
    """The same of a generated `truth.json`."""
    sums = {}
    for row in truth["interfaces"]:
        cell = {action: (0, 0, 0) for action in TOTALS}
        for action in actions:
            cell[action] = tuple(row[action][name] for name in ("records", "packets", "bytes"))
        if any(records for records, _, _ in cell.values()):
            sums[row["interface_id"], row["window"]] = cell
    return sums


def ledger(items):
    """{origin: entry} of all deliveries."""
    return {item["k"]: item for item in items if item["pk"].startswith("O#")}


MINUTES = 30


def half_an_hour_ago():
    return int(time.time()) // 300 * 300 - MINUTES * 60


def generate(flowlog, folder, *arguments, start=None):
    """Flow logs of the last half hour with two attacks, and the truth: an alert about what ended an hour ago disturbs nobody."""
    attacks = [argument for attack in ATTACKS for argument in ("--attack", attack)]
    subprocess.run(
        [flowlog, "generate", "--minutes", str(MINUTES), "--start", str(start or half_an_hour_ago()), "-o", folder, *attacks, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    truth = json.loads((folder / "truth.json").read_text())
    return truth, [(entry["key"], (folder / entry["key"]).read_bytes()) for entry in truth["objects"]]


def generate_mixed(flowlog, folder, *arguments):
    """The same, every second object as Parquet."""
    start = half_an_hour_ago()
    truth, bodies = generate(flowlog, folder / "lines", *arguments, start=start)
    columns, stored = generate(flowlog, folder / "columns", *arguments, "--file-format", "parquet", start=start)
    truth["objects"][1::2], bodies[1::2] = columns["objects"][1::2], stored[1::2]
    return truth, bodies
