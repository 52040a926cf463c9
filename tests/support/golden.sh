#!/bin/sh
# golden.sh: regenerates the files of tests/golden with the programs of tests/oracle (Python, double
# precision). Read the difference before committing it: a golden file changes only when what it
# represents was wrong.
cd "$(dirname "$0")/../.." || exit 2
command -v python3 >/dev/null || { echo "golden: python3 is missing" >&2; exit 2; }
for program in tests/oracle/*.py; do
    echo "  GOLD  $program"
    python3 "$program" || { echo "golden: $program failed (see tests/README.md for what it needs)" >&2; exit 1; }
done
git diff --stat -- tests/golden
