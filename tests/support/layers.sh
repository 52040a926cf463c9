#!/bin/sh
# layers.sh: rejects an include against the arrows of docs/ARCHITECTURE.md:
#
#   trainer -> pipeline -> comm,  trainer -> model -> comm;  pipeline and model do not know each other
#
# and, within trainer/, a step up its floors: a room includes rooms below it, and its own,
#
#   config observe gguf < data checkpoint < reward schedule phase < stage < rollout learn < planner < run < phases bench < commands < main
#
# (rooms of one floor do not know each other), and keeps some libraries in their rooms. Ours are
# included from the root ("comm/mesh.h") and once; the guard of a header is its path. Unit tests lie
# in rooms of the same names. One line a breach; exit 1.
cd "$(dirname "$0")/../.." || exit 2
for test in tests/unit/*.c tests/unit/*/*.c; do
    room=${test#tests/unit/} room=${room%/*}
    [ "$test" = 'tests/unit/*.c' ] || [ -d "$room" ] || [ -d "trainer/$room" ] ||
        { echo "$test: a unit test lies in tests/unit/ROOM, where ROOM is comm, model, pipeline or a room of trainer/"; misplaced=1; }
done
[ "${misplaced:-}" ] && exit 1
# shellcheck disable=SC2016
find comm model pipeline trainer -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort | xargs awk '
BEGIN {
    may["comm"] = "comm"
    may["model"] = "comm model"
    may["pipeline"] = "comm pipeline"
    may["trainer"] = "comm model pipeline trainer"
    floors = "config observe gguf, data checkpoint, reward schedule phase, stage, rollout learn, planner, run, phases bench, commands, main"
    for (f = split(floors, floor, ", "); f > 0; f--)
        for (i = split(floor[f], rooms, " "); i > 0; i--)
            height[rooms[i]] = f
    # header: the only folders or files that include it
    room["cuda_runtime.h"] = "comm/cuda/ model/cuda/"
    room["cuda_bf16.h"] = "model/cuda/"
    room["cublasLt.h"] = "model/cuda/"
    room["dnnl.h"] = "model/matmul"
    room["flint/fmpq.h"] = room["flint/acb.h"] = room["acb.h"] = "trainer/reward/math/flint"
    room["hdf5.h"] = "trainer/checkpoint/"
    room["immintrin.h"] = "model/cpu/"
    room["pcre2.h"] = "model/tokenizer/pattern"
    room["seccomp.h"] = "trainer/reward/sandbox/"
    room["utf8proc.h"] = "model/tokenizer/nfc"
    room["xxhash.h"] = "comm/base/checksum"
    room["yaml.h"] = "trainer/config/"
}
function refuse(why) {
    printf "%s:%d: %s\n  %s\n", FILENAME, FNR, $0, why
    breaches++
}
function room_of(name) { sub(/\.[ch]$/, "", name); return name }
function step(here, there) {
    if (!(here in height) || !(there in height))
        refuse("a room that is on no floor; give it one in tests/support/layers.sh")
    else if (here == there)
        return
    else if (height[there] >= height[here])
        refuse("trainer/" here " is on floor " height[here] ", trainer/" there " on floor " height[there] ": a step up")
}
function is_in(file, list,    i, n, part) {
    n = split(list, part, " ")
    for (i = 1; i <= n; i++) if (index(file, part[i]) == 1) return 1
    return 0
}
function among(word, list) { return index(" " list " ", " " word " ") > 0 }
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    split(part[2], to, "/")
    split(FILENAME, from, "/")
    if (!(to[1] in may))
        refuse("write includes from the root of the project, e.g. \"comm/mesh.h\"")
    else if (!among(to[1], may[from[1]]))
        refuse(from[1] "/ may include " may[from[1]] " only")
    else if (part[2] ~ /^model\/cpu\// && FILENAME !~ /^model\//)
        refuse("kernels are reached through struct ops (model/ops.h)")
    else if (part[2] ~ /\.c$/)
        refuse("a .c file is compiled, not included")
    else if (from[1] == "trainer" && to[1] == "trainer")
        step(room_of(from[2]), room_of(to[2]))
}
/^#ifndef DUET_/ && FILENAME ~ /\.h$/ {
    guard = toupper("duet_" FILENAME)
    gsub(/[\/._]+/, "_", guard)
    if ($2 != guard) refuse("the guard of this header is " guard)
}
/^#include/ && seen[FILENAME, $2]++ { refuse("included before") }
/^[ \t]*#[ \t]*include[ \t]*</ {
    split($0, part, /[<>]/)
    if (part[2] in room && !is_in(FILENAME, room[part[2]]))
        refuse("<" part[2] "> is included in " room[part[2]] " only")
    if (part[2] == "mpi.h" && FILENAME ~ /^model\//)
        refuse("model/ knows no ranks")
}
END { if (breaches) { printf "layers: %d lines are refused\n", breaches; exit 1 }
      print "layers: ok" }' || exit 1
