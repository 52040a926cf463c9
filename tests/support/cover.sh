#!/bin/bash
# cover.sh BUILD: lines run by the tests that have just been run, a line for each folder. A kernel
# counts once, as the variant in which most of its lines ran.
find "$1" -name '*.gcda' -not -path '*/tests/*' -exec gcov -n {} + 2>/dev/null |
    awk -F"'" '/^File/ { file = $2 } /^Lines executed/ { split($0, part, /[:% ]+/); print file, part[3], part[5] }' |
    awk '$1 ~ /^(comm|model|pipeline|trainer)\/.*\.c$/ {
        ran = $2 * $3 / 100
        if (!($1 in lines) || ran > most[$1]) { most[$1] = ran; lines[$1] = $3 }
    }
    END {
        for (f in lines) {
            split(f, part, "/")
            n[part[1]] += lines[f]; n["all"] += lines[f]; r[part[1]] += most[f]; r["all"] += most[f]
            if (most[f] < 0.5 * lines[f]) printf "low: %s %.0f %% of %d lines\n", f, 100 * most[f] / lines[f], lines[f]
        }
        for (d in n) printf "%-10s %5.1f %% of %d lines\n", d, 100 * r[d] / n[d], n[d]
    }' | sort
