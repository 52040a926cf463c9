#!/bin/bash
# rings.sh BUILD: rejects call cycles between files, or between rooms of trainer/.
# Calls are read from the objects that BUILD/files lists (an undefined symbol, and who defines it).
# Prints a line for each call of a ring; exit 1. The variants of a kernel (model/cpu) are one file.
set -uo pipefail
build=$1
[ -r "$build/files" ] || { echo "rings: no $build/files; run: make all" >&2; exit 2; }
read -r -a objects <"$build/files"
for object in "${objects[@]}"; do
    [ -r "$object" ] || { echo "rings: no $object; run: make all" >&2; exit 2; }
done
nm -A "${objects[@]}" | awk -v build="$build/" '
function source(object) {
    sub(/:$/, "", object)
    if (index(object, build) == 1) object = substr(object, length(build) + 1)
    sub(/(\.(base|avx2|avx512))?(\.(fp32|bf16))?\.o$/, "", object)
    return object
}
function room(name, part) {
    return split(name, part, "/") > 2 && part[1] == "trainer" ? part[1] "/" part[2] : ""
}
{ # object:[value] type symbol
    colon = index($0, ":")
    from = source(substr($0, 1, colon - 1))
    n = split(substr($0, colon + 1), word, " ")
    if (word[n - 1] == "U") open[from, word[n]]
    else if (word[n - 1] ~ /^[TDBRVWC]$/) defined[word[n]] = from
}
function call(from, to, symbol) {
    if (from == to || from == "" || to == "") return
    if ((from, to) in calls) return
    calls[from, to] = symbol
    targets[from] = targets[from] " " to
    names[from]; names[to]
}
# All that can be reached from a name, into found.
function reach(from, found, list, n, i, k, to) {
    split("", found)
    list[n = 1] = from
    while (n > 0) {
        k = split(targets[list[n--]], to, " ")
        for (i = 1; i <= k; i++) if (!(to[i] in found)) { found[to[i]]; list[++n] = to[i] }
    }
}
# Two that reach each other are in one ring: prints its calls.
function look(what, name, other, pair, end, found) {
    for (name in names) { reach(name, found); for (other in found) reached[name, other] }
    for (pair in calls) {
        split(pair, end, SUBSEP)
        if (!((end[2], end[1]) in reached)) continue
        print what ": " end[1] " calls " end[2] ": " calls[pair] | "sort"
        rings++
    }
    close("sort")
}
END {
    for (use in open) {
        split(use, part, SUBSEP)
        if (part[2] in defined) { seen++; call(part[1], defined[part[2]], part[2]) }
    }
    look("ring of files")
    split("", calls); split("", targets); split("", names); split("", reached)
    for (use in open) {
        split(use, part, SUBSEP)
        if (part[2] in defined) call(room(part[1]), room(defined[part[2]]), part[2])
    }
    look("ring of rooms")
    if (!seen) print "rings: no object calls another: nm prints something else than expected"
    if (rings) print "rings: " rings " calls in rings"
    if (!seen || rings) exit 1
    print "rings: ok"
}'
