#!/usr/bin/env python3
"""Validates OCSF Detection Findings (class 2004), one JSON document a line on standard input.

A document must satisfy the model, and every attribute of it must be one that the model knows: what pydantic would drop
silently is an error here. Free form by definition, and left alone, are `unmapped` and `evidences[].data`.
"""

import json
import sys

from py_ocsf_models.events.findings.detection_finding import DetectionFinding

FREE = {"unmapped", "data"}
# Attributes of the schema's Evidence Artifacts that the package has under "TODO", and what of them is used here.
TODO = {
    "src_endpoint": {"ip", "port"},
    "dst_endpoint": {"ip", "port"},
    "connection_info": {"protocol_num", "direction_id"},
}


def dropped(given, known, path=""):
    """Paths of attributes that the model does not know."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            here = f"{path}.{name}" if path else name
            if name in FREE:
                continue
            if path.startswith("evidences[") and name in TODO:
                yield from (f"{here}.{unknown}" for unknown in set(value) - TODO[name])
                continue
            if name not in known:
                yield here
            else:
                yield from dropped(value, known[name], here)
    elif isinstance(given, list) and isinstance(known, list):
        for n, (one, other) in enumerate(zip(given, known)):
            yield from dropped(one, other, f"{path}[{n}]")


def main():
    count = 0
    for number, line in enumerate(sys.stdin, 1):
        document = json.loads(line)
        finding = DetectionFinding.model_validate(document)
        unknown = list(dropped(document, finding.model_dump(mode="json", exclude_unset=True)))
        if unknown:
            sys.exit(f"document {number}: not in the schema: {', '.join(unknown)}")
        count += 1
    if count == 0:
        sys.exit("no document")
    print(f"{count} documents are OCSF Detection Findings")


if __name__ == "__main__":
    main()
