#!/bin/sh
# lines.sh FILE...: the shape of the tree: lengths of functions and files, parameters, comments; and
# which functions and files are longer than we want, which of the program say nothing above although
# they have 12 lines and more. A function is what stands between a "{" and a "}" in the first
# column. Kernels (model/cpu) may be longer and are not named.
awk -v FN_MAX=60 -v FILE_MAX=500 -v PARAMS_MAX=6 -v BARE_MAX=11 '
function folder_of(file, part) { split(file, part, "/"); return part[1] }
function file_end() {
    if (file == "") return
    files[++nfiles] = lines
    if (lines > FILE_MAX) warn[++nwarn] = sprintf("%s: %d lines (at most %d)", file, lines, FILE_MAX)
}
function percentile(a, n, p, i, j, t, b) { # by insertion sort into b
    for (i = 1; i <= n; i++) {
        for (j = i - 1; j >= 1 && b[j] > a[i]; j--) b[j + 1] = b[j]
        b[j + 1] = a[i]
    }
    i = int(p * (n - 1)) + 1
    return n ? b[i] : 0
}
function row(name, fns, nfns) {
    printf "%-10s %6d %7d %7d %7d\n", name, nfns, percentile(fns, nfns, 0.5), percentile(fns, nfns, 0.95), percentile(fns, nfns, 1)
}
FNR == 1 { file_end(); file = FILENAME; lines = 0; inside = comment = 0; head = "" }
{ lines++; folder = folder_of(file); folder_lines[folder]++ }
!/^template/ { above = before; before = $0 }
!inside && /^[ \t]*$/ { blank++ }
{   # lines that are nothing but comment
    text = $0; gsub(/^[ \t]+|[ \t]+$/, "", text)
    if (comment || text ~ /^\/\// || text ~ /^\/\*/) {
        comments++
        comment = text !~ /\*\//
    }
}
/^\{/ { inside = 1; start = FNR; next }
/^\}/ && inside {
    inside = 0
    if (head ~ /\(/ && head !~ /^(static |const |extern )*(struct|enum|union) [a-z_0-9]* *=?$/) {
        n = FNR - start - 1
        fn[++nfn] = n
        fnf[folder] = fnf[folder] " " n
        split(head, part, "(")
        name = part[1]; sub(/.*[ *]/, "", name)
        k = gsub(/,/, ",", head) + 1
        params[++nparams] = k
        if (file !~ /^model\/cpu\//) {
            if (n > FN_MAX) warn[++nwarn] = sprintf("%s:%d: %s: %d lines (at most %d)", file, start, name, n, FN_MAX)
        }
        if (n > BARE_MAX && folder != "tests") {
            explainable++
            if (!explained) bare[++nbare] = sprintf("%s:%d: %s: %d lines", file, start, name, n)
        }
    }
    head = ""
    next
}
!inside { if (/^[a-zA-Z_]/) { head = $0; explained = above ~ /\*\/[ \t]*$/ } else if (/^[ \t]/ && !comment) head = head $0; if (/;[ \t]*$/) head = "" }
END {
    file_end()
    printf "%-10s %6s %7s %7s %7s\n", "functions", "count", "median", "p95", "longest"
    for (i = split("comm model pipeline trainer tests", order, " "); i > 0; i--) ;
    for (i = 1; i <= 5; i++) {
        split("", list)
        k = split(fnf[order[i]], list, " ")
        for (j = 1; j <= k; j++) list[j] += 0
        row(order[i], list, k)
    }
    row("all", fn, nfn)
    total = 0
    for (f in folder_lines) total += folder_lines[f]
    printf "files      %6d, median %d lines, longest %d\n", nfiles, percentile(files, nfiles, 0.5), percentile(files, nfiles, 1)
    printf "lines      %6d", total
    for (i = 1; i <= 5; i++) printf ", %s %d", order[i], folder_lines[order[i]]
    printf "\ncomments   %5.0f %% of lines\n", total ? 100 * comments / total : 0
    printf "parameters %6d at p95\n", percentile(params, nparams, 0.95)
    printf "explained  %6d of %d functions of %d lines and more, tests aside\n", explainable - nbare, explainable, BARE_MAX + 1
    for (i = 1; i <= nwarn; i++) print "long: " warn[i]
    for (i = 1; i <= nbare; i++) print "says nothing above: " bare[i]
}' "$@"
