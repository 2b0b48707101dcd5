#!/usr/bin/env python3
"""Tests of step.py: it decides what a run says of itself."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

STEP = [sys.executable, str(pathlib.Path(__file__).with_name("step.py"))]


def ended(pid):
    """Whether a process is gone, or soon is: who adopts it may take a moment to bury it."""
    for _ in range(50):
        try:
            os.kill(int(pid), 0)
            state = pathlib.Path(f"/proc/{int(pid)}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


class Steps(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.notes = os.path.join(self.directory.name, "steps")

    def step(self, *arguments):
        done = subprocess.run(
            [*STEP, *arguments], env={**os.environ, "STEPS": self.notes}, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout

    def table(self):
        status, out = self.step("--table", self.notes)
        return status, {line.split()[0]: line.split() for line in out.splitlines()}

    def test_counts_of_rust_and_of_ours_add_up(self):
        script = (
            "echo 'test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'; "
            "echo 'test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out' >&2; "
            "echo '2 passed, 0 failed, 4 skipped'; echo 'skipped: no data'; echo 'skipped: no data'"
        )
        self.assertEqual(self.step("one", "--", "sh", "-c", script)[0], 0)
        status, rows = self.table()
        self.assertEqual(status, 0)
        self.assertEqual(rows["one"][1:5], ["ok", "12", "0", "5"])
        self.assertEqual(rows["one"][6:], ["no", "data"])
        self.assertEqual(rows["all"][1:5], ["ok", "12", "0", "5"])

    def test_a_failure_is_seen_by_status_and_by_count(self):
        self.assertEqual(self.step("status", "--", "sh", "-c", "echo '9 passed, 0 failed, 0 skipped'; exit 3")[0], 3)
        self.assertEqual(self.step("count", "--", "echo", "1 passed, 1 failed, 0 skipped")[0], 1)
        status, rows = self.table()
        self.assertEqual(status, 1)
        self.assertEqual([rows["status"][1:3], rows["count"][1:3]], [["FAILED", "(3)"], ["FAILED", "(1)"]])

    def test_nothing_counted_is_no_success(self):
        self.step("quiet", "--", "true")
        self.assertEqual(self.table()[0], 1)

    def test_too_long_is_stopped_with_what_it_started(self):
        status, out = self.step("long", "--limit", "1", "--", "sh", "-c", "sleep 300 & echo $!; wait")
        self.assertEqual(status, 124)
        self.assertTrue(ended(out.splitlines()[0]))
        self.assertIn("stopped", self.table()[1]["long"])

    def test_leftovers_do_not_hold_a_step_up(self):
        status, out = self.step("left", "--", "sh", "-c", "sleep 300 & echo $!")
        self.assertEqual(status, 0)
        self.assertTrue(ended(out.splitlines()[0]))

    def test_a_step_that_is_not_run_says_why(self):
        self.assertEqual(self.step("unrun", "--skip", "no network")[0], 0)
        self.assertEqual(self.table()[1]["unrun"][1], "skipped")


if __name__ == "__main__":
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(Steps))
    wrong, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"{result.testsRun - wrong - skipped} passed, {wrong} failed, {skipped} skipped", flush=True)
    sys.exit(bool(wrong))
