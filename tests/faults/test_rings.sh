#!/bin/bash
# test_rings.sh DUET: no call cycles between files or between rooms of trainer/
# (tests/support/rings.sh on the objects of the program); and planted cycles are found.
. "${BASH_SOURCE%/*}/common.sh"
rings=$root/tests/support/rings.sh

call env -C "$root" "$rings" "$(realpath --relative-to="$root" "${duet%/*}")"
check "the program: exit 0, no ring" equal "$code $(<out)" "0 rings: ok"

# object FILE C...: compiles the given C to build/FILE.o
mkdir -p build
object() {
    mkdir -p "build/${1%/*}"
    "${CC:-cc}" -x c -c -o "build/$1.o" - <<<"${*:2}"
}
object comm/low 'int low(void) { return 1; }'
object trainer/data/deck 'int low(void); int deck(void) { return low(); }'
object trainer/run/run 'int deck(void); int run(void) { return deck(); }'
echo build/comm/low.o build/trainer/data/deck.o build/trainer/run/run.o >build/files
call "$rings" build
check "a tree: exit 0" equal "$code $(<out)" "0 rings: ok"

object comm/low 'int deck(void); int low(void) { return deck(); }'
call "$rings" build
check "two files: exit 1" equal "$code" 1
check "two files: the ring" equal "$(<out)" "ring of files: comm/low calls trainer/data/deck: deck
ring of files: trainer/data/deck calls comm/low: low
rings: 2 calls in rings"

object comm/low 'extern int (*const table[])(void); int low(void) { return table[0](); }'
object trainer/run/run 'int deck(void); int (*const table[])(void) = {deck};'
call "$rings" build
check "three files, one by a table: exit 1" equal "$code" 1
check "three files: the table" has out "ring of files: comm/low calls trainer/run/run: table"

object comm/low 'int low(void) { return 1; }'
object trainer/run/run 'int deck(void); int run(void) { return deck(); }'
object trainer/data/list 'int run(void); int list(void) { return run(); }'
echo build/comm/low.o build/trainer/data/{deck,list}.o build/trainer/run/run.o >build/files
call "$rings" build
check "two rooms: exit 1" equal "$code" 1
check "two rooms: the ring" equal "$(<out)" "ring of rooms: trainer/data calls trainer/run: run
ring of rooms: trainer/run calls trainer/data: deck
rings: 2 calls in rings"

echo build/nothing.o >build/files
call "$rings" build
check "an object that is not there: exit 2" equal "$code" 2
finish
