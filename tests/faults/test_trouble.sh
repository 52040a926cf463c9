#!/bin/bash
# test_trouble.sh DUET: docs/TROUBLE.md is backed by tests. Every row has four cells; the last names
# a test of this tree, and each piece of the message in the first cell (split at …) appears
# literally in that test.
set -u
page=docs/TROUBLE.md
rows=0 failed=0
fail() { echo "FAIL $page: $1"; failed=1; }

while IFS='|' read -r _ message meaning remedy test rest; do
    rows=$((rows + 1))
    [ -z "$rest" ] && [ "${meaning// /}" ] && [ "${remedy// /}" ] || { fail "not four cells: $message"; continue; }
    file=$(sed -n 's/^ *`\(tests\/[^`]*\)` *$/\1/p' <<<"$test")
    [ -f "${file:-/}" ] || { fail "no such test: $test of $message"; continue; }
    text=$(sed -n 's/^ *`\([^`]*\)`.*/\1/p' <<<"$message")
    [ "$text" ] || { fail "the row begins with no \`message\`: $message"; continue; }
    while read -r piece; do
        [ -z "$piece" ] || grep -qF -- "$piece" "$file" || fail "$file does not ask for \"$piece\""
    done < <(sed 's/ *… */\n/g' <<<"$text")
done < <(grep '^| `' "$page")

[ $rows -gt 0 ] || fail "no rows"
[ $failed -eq 0 ] && echo "$rows rows"
exit $failed
