#!/bin/bash
# test_pages.sh DUET: what the pages name is there: files in `backticks`, tests by their short names (unit/comm/test_rng), links.
. "${BASH_SOURCE%/*}/common.sh"
cd "$root" || exit 1
mapfile -t pages < <(git ls-files '*.md' 2>/dev/null || find . -name '*.md' -not -path './build/*' -printf '%P\n')

# files PAGE: the words in backticks that look like files of ours, {h,c} spelt out
files() {
    grep -oE '`[^` ]+`' "$1" | tr -d '`' | sed 's/[:,].*[a-z_]$//' |
        grep -E '^(comm|model|pipeline|trainer|tests|launch|docs|hostfiles|unit|mpi|property|faults|hosts|slurm|fuzz)/[A-Za-z0-9_./{},-]+$' |
        grep -vE '[A-Z]{3}|pipeline/[a-z_]*_fraction' | sort -u
}
exists() { # NAME: a file, a folder, or a test without its ending; or all that braces stand for
    local name
    for name in $(eval "echo $1"); do
        compgen -G "$name" >/dev/null || compgen -G "tests/$name*" >/dev/null || compgen -G "$name.[ch]" >/dev/null || { echo "there is no $name"; return 1; }
    done
}
seen=0
for page in "${pages[@]}"; do
    for name in $(files "$page"); do
        seen=$((seen + 1))
        check "$page names $name" exists "$name"
    done
    for link in $(grep -oE '\]\([^)#: ]+\)' "$page" | sed 's/](\(.*\))/\1/'); do
        seen=$((seen + 1))
        check "$page links to $link" test -e "$(dirname "$page")/$link"
    done
done
check "files and links were found" test $seen -gt 200
finish
