#!/bin/bash
# test_grade.sh DUET: what rewards give to answers, from the command line: a line out for each in,
# in order; what cannot be graded is said and counted.
. tests/faults/common.sh

cat >lines.jsonl <<'JSONL'
{"id": 1, "answer": "1+6=7</think><answer>7</answer>", "expected": "7", "language": "en", "tokens": 9}
{"id": "b", "answer": "我们 1+6=8</think><answer>8</answer>", "expected": "7", "language": "en", "tokens": 9}
not JSON
{"id": 4}

{"answer": "a\u0000b", "expected": "7", "language": "en"}
{"id": null, "answer": "", "expected": "7", "language": "python zh", "tokens": 0}
JSONL
all="--reward accuracy --reward format --reward language --reward consistency --reward efficiency --set max_new=18"
# shellcheck disable=SC2086
call "$duet" grade $all lines.jsonl
check "a file: exit 0" equal "$code" 0
cat >due <<'JSONL'
{"id": 1, "rewards": {"accuracy": 1.0, "format": 1.0, "language": 0.0, "efficiency": 0.5, "consistency": 1.0}, "why": "right"}
{"id": "b", "rewards": {"accuracy": 0.0, "format": 1.0, "language": 0.0, "efficiency": 0.0, "consistency": 0.0}, "why": "wrong value"}
{"id": 3, "error": "not a JSON object: '[' or '{' expected near 'not'"}
{"id": 4, "error": "no \"answer\": a string"}
{"id": 5, "error": "efficiency needs \"tokens\": how many the answer has"}
{"id": null, "rewards": {"accuracy": 0.0, "format": 0.0, "language": 0.0, "efficiency": 0.0, "consistency": 0.0}, "why": "no </think>"}
JSONL
check "a line for each, in order" diff out due
check "errors are counted" has err "3 of 6 lines could not be graded"
# shellcheck disable=SC2086
"$duet" grade $all <lines.jsonl >piped 2>/dev/null
check "the same from a pipe" diff piped due
call "$duet" grade --reward format <(echo x)
check "none could be graded: exit 2" equal "$code" 2
call "$duet" grade --reward format /dev/null
check "nothing to grade: exit 0" equal "$code" 0
call "$duet" grade --reward lenght --reward rank lines.jsonl
check "no such reward: exit 2" equal "$code" 2
check "the nearest name" has err "did you mean length?"
check "a reward of a group" has err "rank cannot be given to an answer by itself"
call "$duet" grade --help
check "help names the rewards" has out "share of the reasoning's words"

# Ten megabytes, nothing, and bytes that are no text.
python3 - >large.jsonl <<'PY'
import json
print(json.dumps({"id": 1, "answer": "1+1=2 " * 1700000, "expected": "7"}))
print(json.dumps({"id": 2, "answer": "", "expected": ""}))
print(json.dumps({"id": 3, "answer": "".join(map(chr, range(1, 255))) * 4000, "expected": "7"}))
PY
printf '{"id": 4, "answer": "\377\376"}\n' >>large.jsonl
call "$duet" grade --reward accuracy --reward format --reward language --reward repetition --reward consistency --set target_language=en large.jsonl
check "large, empty and binary answers: exit 0" equal "$code" 0
check "three of them graded" equal "$(grep -c rewards out)" 3
check "what is no UTF-8 is not" has err "1 of 4 lines could not be graded"
finish
