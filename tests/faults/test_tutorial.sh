#!/bin/bash
# test_tutorial.sh DUET: docs/TUTORIAL.md as a reader follows it: its two files are saved under the
# names it gives, its commands run in their order, and the model learns what the page says.
. "${BASH_SOURCE%/*}/common.sh"
page=$root/docs/TUTORIAL.md
ln -s "$root/launch" launch
mkdir build && ln -s "$duet" build/duet

# block LANGUAGE: the page's first block of that language
block() { awk -v from="^\`\`\`$1\$" 'on && /^```$/ { exit } on { print } $0 ~ from { on = 1 }' "$page"; }
block awk >make-problems.awk
block yaml >largest.yaml
check "the page has both files" test -s make-problems.awk -a -s largest.yaml || finish
mapfile -t commands < <(sed -n 's/^    \([a-z]\)/\1/p' "$page" | grep -E '^(awk|launch|build)')
check "the page has its seven commands" equal ${#commands[@]} 7 || finish

follow() { bash -c "$1" >out 2>err </dev/null; }
for command in "${commands[@]}"; do
    check "$command" follow "$command"
    cat out err >>said
done

# pass@1 of an evaluation, in tenths of a percent
pass() { sed -nE "s/.*\] +$1 +step.*pass@1 +([0-9]+)\.([0-9]) %.*/\1\2/p" said | head -n 1; }
check "before: most answers are guesses" test "$(pass before)" -lt 500
check "after: most are right" test "$(pass after)" -gt 750
check "no start: the warning comes" has said "the rewards within every group were equal"
check "why: what the page's table lists" has runs/nothing/samples.jsonl '"why":"truncated"'
finish
