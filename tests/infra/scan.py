#!/usr/bin/env python3
"""checkov on what CloudFormation would create: every option off and every option on, loops written out, SAM translated.

    scan.py CHECKOV

A scanner that reads the templates as written does not see what a loop makes, and takes an `!If` for whatever passes. Looks
nothing up: the checks are in the package. Each suppression says why, where it is. Run by the Python of .venv/moto.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from rule_tests import variants
from templates import all_templates


def main():
    with tempfile.TemporaryDirectory(prefix="flowlog-scan-") as directory:
        written = {}
        for path in all_templates():
            for template, options in variants(path):
                name = f"{len(written):02}.json"
                written[name] = (path, options, len(template["Resources"]))
                pathlib.Path(directory, name).write_text(json.dumps(template), encoding="utf-8")
        command = [sys.argv[1], "--framework", "cloudformation", "--skip-download", "--quiet", "--compact"]
        done = subprocess.run([*command, "--output", "json", "--directory", directory], capture_output=True, text=True)
    report = json.loads(done.stdout)
    summary = report["summary"]
    for check in report["results"]["failed_checks"]:
        path, options, _ = written[check["file_path"].lstrip("/")]
        print(f"{path} ({options}): {check['resource']}: {check['check_id']} {check['check_name']}")
    resources = sum(count for _, _, count in written.values())
    # Resources of which no check speaks, such as flow logs, are counted as well.
    print(f"{len(written)} variants, {resources} resources, {summary['resource_count']} seen; {summary['skipped']} findings suppressed")
    wrong = summary["failed"] + summary["parsing_errors"] + (resources != summary["resource_count"])
    print(f"{summary['passed']} passed, {wrong} failed, 0 skipped")
    return 1 if wrong or not summary["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
