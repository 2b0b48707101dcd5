"""How large the functions are, as they run and as they are uploaded, and whether that is within bounds.

    python3 tests/dev/size.py target/lambda/*/bootstrap

Start-up and the time that an upload takes grow with both. The goal is 8 MiB of program and 4 MiB of zip. The limits are what the
largest function had on 2026-12-01 (the alerter's program, 7.54 MiB, and the parser's zip, 3.50), rounded up: they are there so that
it does not grow unseen.
"""

import os
import sys
import tempfile
import zipfile

MIB = 1 << 20
PROGRAM, ZIP = 7.75 * MIB, 3.6 * MIB


def zipped(path):
    """Bytes of a zip with nothing but this file in it."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.write(path, "bootstrap")
        return file.tell()


def main():
    failed = 0
    for path in sys.argv[1:]:
        program, packed = os.path.getsize(path), zipped(path)
        too_large = program > PROGRAM or packed > ZIP
        failed += too_large
        name = os.path.basename(os.path.dirname(os.path.abspath(path)))
        print(f"{name}: {program / MIB:.2f} of {PROGRAM / MIB:g} MiB, zip {packed / MIB:.2f} of {ZIP / MIB:g} MiB{', too large' * too_large}")
    print(f"{len(sys.argv) - 1 - failed} passed, {failed} failed")
    return 1 if failed or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
