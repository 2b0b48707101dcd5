"""Checks by name, counted; one that fails does not keep the others from being made."""

import time


class Checks:
    def __init__(self):
        self.passed = self.failed = 0
        self.started = time.monotonic()

    def that(self, what, holds, detail=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
        seconds = time.monotonic() - self.started
        print(f"{seconds:6.1f} s  {'ok  ' if holds else 'FAIL'}  {what}{f': {detail}' if detail and not holds else ''}", flush=True)
        return bool(holds)

    def equal(self, what, found, expected):
        return self.that(what, found == expected, difference(found, expected))

    def finish(self):
        """Prints the counts in the form that step.py reads; the exit status."""
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped", flush=True)
        return 1 if self.failed or not self.passed else 0


def difference(found, expected):
    """What is not the same, in a few words."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = [key for key in {**expected, **found} if found.get(key) != expected.get(key)]
        shown = [f"{key}: found {found.get(key)}, expected {expected.get(key)}" for key in keys[:5]]
        return f"{len(keys)} of {len({**expected, **found})} differ: " + "; ".join(shown)
    return f"found {found}, expected {expected}"
