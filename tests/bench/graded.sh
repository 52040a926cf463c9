#!/bin/bash
# graded.sh [SECONDS]: programs graded in a second on two cores, beside bare fork and exec of the
# same interpreter. SECONDS (5) for each row.
set -u
make build/release/tests/bench/graded >/dev/null || exit 1
cores=$(taskset -pc $$ | sed 's/.*: //; s/-/,/' | cut -d, -f 1,2)
exec taskset -c "$cores" build/release/tests/bench/graded "${1:-5}"
