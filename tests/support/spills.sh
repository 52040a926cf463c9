#!/bin/sh
# spills.sh REPORT...: what ptxas says of every kernel (nvcc -Xptxas -v): fails when one spills
# registers, and says how many kernels there are and how many registers the largest takes.
awk '
/Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4] }
/bytes spill stores/ {
    kernels++
    for (i = 1; i <= NF; i++) if ($i == "spill" && $(i - 2) > 0) spilt[kernel " for " arch] = 1
}
/Used [0-9]+ registers/ {
    for (i = 1; i <= NF; i++) if ($i == "Used" && $(i + 1) > most) { most = $(i + 1); whose = kernel " for " arch }
}
END {
    for (k in spilt) { print "spills registers: " k; bad++ }
    if (!kernels) { print "spills.sh: no kernel in the reports"; exit 1 }
    printf "%d kernels, %d spill registers; at most %d registers (%s)\n", kernels, bad, most, whose
    exit bad > 0
}' "$@"
