"""Generated days: what is planted and found, at several intensities, and what is said of days with nothing planted.

Thresholds are chosen on seeds below 1000 and counted on seeds from `UNSEEN` on.
"""

import collections
import functools
import json
import multiprocessing
import pathlib
import subprocess
import sys
import tempfile

UNSEEN = 2000
# Attempts, in per cent of what generate/attack.rs says of each; only every fourth seed has the unusual ones.
INTENSITIES = (30, 100, 300)
# What is planted together, and in how many minutes of traffic. A silence takes the rows of others away, so it is alone.
DAYS = (
    (1440, "port-scan", "reject-burst", "host-sweep", "brute-force", "slow-scan", "rejected-then-accepted"),
    (1440, "egress-volume", "misconfiguration", "lateral-movement", "asymmetric-path", "sensitive-port-exposed", "data-gap"),
    (720, "egress-refused", "answer-refused", "block-public-access", "missing-route", "missing-return-route", "transitive-peering"),
    (420, "silence"),
    (420, "silent-vpc"),
)
# Packets that get lost between two interfaces leave no refusal, so no rule speaks: `flowlog why` is asked instead.
LOST = {
    "missing-route": ("10.1.16.21", "10.0.16.41:8444", "sent_never_received", "no route to 10.0.16.41"),
    "missing-return-route": ("10.0.0.31", "10.1.16.21:8445", "answer_lost", "no route to 10.0.0.31"),
    "transitive-peering": ("10.1.16.21", "10.2.16.77:5433", "sent_never_received", "not transitive"),
}
# Seconds for which an interface is not known yet, and thresholds are absolute.
COLD = 6 * 3600


def replay(flowlog, *paths, rules=""):
    """`flowlog replay` over files or folders, under a rules file; its JSON."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(rules)
        file.flush()
        command = [flowlog, "replay", "--format", "json", "--rules", file.name, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"replay failed: {done.stderr}")
    return json.loads(done.stdout)


def generate(flowlog, seed, folder, minutes=1440, attacks=(), intensity=100):
    """Objects below `folder`, and the truth about them."""
    command = [flowlog, "generate", "--seed", str(seed), "--minutes", str(minutes), "--rate", "60", "--format", "v8",
               "--intensity", str(intensity), "-o", str(folder)]
    subprocess.run([*command, *(arg for attack in attacks for arg in ("--attack", attack))], check=True,
                   stdout=subprocess.DEVNULL)
    return json.loads((folder / "truth.json").read_text())


def is_its(finding, attack, vpcs):
    """Whether a finding is this attack's: the rule it must lead to, in its time, by its source or at its place."""
    # Silence is told of the last window that had something.
    early = 600 if attack["kind"].startswith("silen") else 0
    in_time = attack["windows"][0] - early <= finding["window"] <= attack["windows"][-1] + 3600
    if finding["type"] != attack["expected"] or not in_time:
        return False
    if attack["kind"] == "silent-vpc":
        return finding["interface_id"] == vpcs[attack["interface_ids"][0]]
    return finding["interface_id"] in attack["interface_ids"] or attack["source"] in finding["sources"]


def explains(attack, finding):
    """Whether a finding may follow from this attack."""
    late = 86_400 if attack["kind"] == "slow-scan" else 3600
    kinds = (attack["expected"], *attack["also"])
    return finding["type"] in kinds and attack["windows"][0] - 600 <= finding["window"] <= attack["windows"][-1] + late


def why(flowlog, folder, kind):
    """Whether `flowlog why` says where the packets ended, and for what reason."""
    source, target, outcome, cause = LOST[kind]
    done = subprocess.run([flowlog, "why", source, target, "--data", str(folder), "--format", "json"], check=True,
                          capture_output=True, text=True)
    said = json.loads(done.stdout)["explanations"]
    # Of the third VPC nothing is on record: a refusal there comes first, and without traffic-path a missing route, too.
    first = 3 if kind == "transitive-peering" else 1
    return any(one["outcome"] == outcome and cause in "".join(one["causes"][:first]) for one in said)


def one_seed(flowlog, seed):
    """Everything of one seed: counts by what is counted."""
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        truth = generate(flowlog, seed, folder / "quiet")
        got = replay(flowlog, folder / "quiet")
        counts["interface-days"] += got["interface_days"]
        counts["skipdata"] += truth["totals"]["skipdata"]
        counts["digests"] += got["digests"]
        for name, rule in got["rules"].items():
            counts["false", name, "notified"] += rule["notify"] + rule["high"]
            counts["false", name, "noted"] += rule["noted"]
        busiest = got["busiest_day"]
        for intensity in INTENSITIES if seed % 4 == 0 else (100,):
            for minutes, *attacks in DAYS:
                day = folder / f"{attacks[0]}-{intensity}"
                truth = generate(flowlog, seed, day, minutes, attacks, intensity)
                got = replay(flowlog, day)
                busiest = max(busiest, got["busiest_day"])
                vpcs = {name["interface_id"]: name["vpc_id"] for name in truth["names"]}
                for attack in truth["attacks"]:
                    kind = attack["kind"]
                    mine = [f for f in got["findings"] if is_its(f, attack, vpcs)]
                    hit = why(flowlog, day, kind) if kind in LOST else bool(mine)
                    warm = "cold" if attack["start"] < truth["plan"]["start"] + COLD else "known"
                    counts[kind, intensity, warm, hit] += 1
                    counts[kind, intensity, "woke", any(f["raised"] == "sent" for f in mine)] += 1
                for finding in got["findings"]:
                    told = finding["raised"] in ("sent", "noted") and finding["type"] != "data-gap"
                    if told and not any(explains(attack, finding) for attack in truth["attacks"]):
                        counts["beside", finding["type"], finding["raised"]] += 1
    print(".", end="", file=sys.stderr, flush=True)
    return counts, busiest


def recall(counts, kind, intensity, *when):
    hit, missed = (sum(counts[kind, intensity, w, found] for w in when) for found in (True, False))
    return f"{hit} of {hit + missed}" if hit + missed else "–"


def evaluate(flowlog, seeds, jobs):
    """Prints the tables of these seeds."""
    print(f"### Generated days of 14 interfaces, seeds {seeds[0]} to {seeds[-1]}\n")
    counts, busiest = collections.Counter(), 0
    with multiprocessing.Pool(jobs) as pool:
        for one, most in pool.imap_unordered(functools.partial(one_seed, flowlog), seeds):
            counts.update(one)
            busiest = max(busiest, most)
    print(file=sys.stderr)
    days = counts["interface-days"]
    print(f"With nothing planted, {days:.0f} interface-days. They have {counts['skipdata']} SKIPDATA rows, which data-gap rightly "
          f"notes. {counts['digests']} digests.\n")
    print("| rule | notified | noted for the digest | notified per interface-day |\n|---|---:|---:|---:|")
    for name in sorted(key[1] for key in counts if key[0] == "false" and key[2] == "noted"):
        notified = counts["false", name, "notified"]
        print(f"| {name} | {notified} | {counts['false', name, 'noted']} | {notified / days:.4f} |")
    total = sum(n for key, n in counts.items() if key[0] == "false" and key[2] == "notified")
    print(f"| all | {total} | {sum(n for key, n in counts.items() if key[0] == 'false' and key[2] == 'noted')} | {total / days:.4f} |")
    print(f"\nWith up to six things planted, the busiest day has {busiest} messages.\n")
    columns = " | ".join(f"{intensity} %" for intensity in INTENSITIES)
    print(f"| planted | {columns} | 100 %, first six hours | 100 %, later | 100 %, notified |")
    print("|---|" + "---:|" * (len(INTENSITIES) + 3))
    for kind in (kind for _, *day in DAYS for kind in day):
        cells = [recall(counts, kind, i, "cold", "known") for i in INTENSITIES]
        cells += [recall(counts, kind, 100, "cold"), recall(counts, kind, 100, "known")]
        cells.append("by `why`" if kind in LOST else recall(counts, kind, 100, "woke"))
        print(f"| {kind} | {' | '.join(cells)} |")
    beside = sorted(key for key in counts if key[0] == "beside")
    print("\nOn these days, beside what was planted and may follow from it, data-gap apart: "
          + (", ".join(f"{key[1]} {key[2]} {counts[key]} times" for key in beside) or "nothing") + ".\n")
