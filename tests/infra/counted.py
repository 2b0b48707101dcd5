"""unittest, with the line that `make test` counts: `7 passed, 0 failed, 0 skipped`."""

import sys
import unittest


def main(module):
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module])
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    # A test with several failed subtests is one test that failed.
    outer = (getattr(test, "test_case", test).id() for test, _ in [*result.failures, *result.errors])
    failed = len(set(outer)) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    passed = result.testsRun - failed - skipped
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed or not passed else 0)
