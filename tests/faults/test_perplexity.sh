#!/bin/bash
# test_perplexity.sh DUET: `duet perplexity` of texts and models that are not there, are empty, too
# long or no such thing: exit 2 with what to do; and what it prints is what `duet score` says of the
# same tokens.
. "${BASH_SOURCE%/*}/common.sh"
model=$root/tests/golden/hf/llama

# refused NAME WORDS...: exit 2, each of the words said, nothing printed
refused() {
    refusal "$@"
    check "$1: no figure" test ! -s out
}
# field NAME: of the line of JSON that was printed
field() { python3 -c 'import json, sys; print(json.load(open("out"))[sys.argv[1]])' "$1"; }

# --- texts ---
printf 'a text of forty-seven characters: 1+2=3, 9-4=5.' >text
call "$duet" perplexity "$model" text --set precision=fp32
check "a text: exit 0" equal "$code" 0
check "a text: tokens, all but the first" equal "$(field tokens) $(field window)" "46 64"
one=$(field perplexity)
# The same figure from duet score, with the first token as the prompt and the others as the answer.
"$duet" tokenize "$model" <<<'{"text": "'"$(cat text)"'"}' >ids
python3 - <<'PY' >score.jsonl
import json
ids = json.loads(open("ids").readline())["ids"]
print(json.dumps({"prompt_ids": ids[:1], "answer_ids": ids[1:]}))
PY
call "$duet" score "$model" score.jsonl --set precision=fp32
check "duet score of it: exit 0" equal "$code" 0
check "perplexity and score agree" python3 -c '
import json, math, sys
logp = json.loads(open("out").readline())["logp"]
is_, must = float(sys.argv[1]), math.exp(-sum(logp) / len(logp))
assert abs(is_ / must - 1) < 1e-5, (is_, must)' "$one"

call "$duet" perplexity "$model" none
refused "no such file" "none: cannot be read: No such file or directory" "give a file of at most 1 GiB, or - for standard input"
call "$duet" perplexity "$model" "$root"
refused "a folder as text" "Is a directory; give a file"
: >empty
call "$duet" perplexity "$model" empty
refused "an empty text" "the text has fewer than two tokens, so nothing can be predicted: give a longer one"
printf a >one
call "$duet" perplexity "$model" one
refused "a text of one token" "fewer than two tokens"
call "$duet" perplexity "$model" text --window 1
refused "a window that predicts nothing" "--window: 1 is not in the range 2 to" "see: duet perplexity --help"

# Longer than the context: in windows, each but its first token; the last is shorter, and one of a
# single token is left out.
for i in 1 2 3; do cat text; done >long # 141 characters: windows of 64, 64, 13
call "$duet" perplexity "$model" long --window 100000
check "longer than the context: exit 0" equal "$code" 0
check "longer than the context: windows of the context" equal "$(field tokens) $(field window)" "138 64"
head -c 129 long >left
call "$duet" perplexity "$model" - <left
check "standard input is empty here: exit 2" equal "$code" 2
"$duet" perplexity "$model" - <left >out 2>err
check "a last window of one token: it counts for nothing" equal "$(field tokens)" 126
call "$root/launch/run.sh" -n 2 --timeout 60 "$duet" perplexity "$model" long --set precision=fp32 --set mesh.pp=2
two=$(field perplexity)
call "$duet" perplexity "$model" long --set precision=fp32
check "on two stages: the same figure" equal "$(field perplexity)" "$two"

# --- models ---
call "$duet" perplexity none text
refused "no such model" "none: no such folder"
call "$duet" perplexity text text
refused "a model that is a file" "text: is no folder: give a run's folder, or a checkpoint in it"
mkdir folder
call "$duet" perplexity folder text
refused "a folder without a model" "is neither a checkpoint nor a folder of checkpoints (nor, without a config.json, a Hugging Face folder): give a run's folder"
cp -r "$model" bare
rm bare/tokenizer.json
call "$duet" perplexity bare text
refused "no tokenizer" "bare: has no tokenizer.json: write one with AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR), or give model.tokenizer"
cp "$model/tokenizer.json" t.json
call "$duet" perplexity bare text --set model.tokenizer=t.json --set precision=fp32
check "a tokenizer given: exit 0" equal "$code" 0
check "a tokenizer given: the same figure" equal "$(field perplexity)" "$one"
echo '{}' >bare/tokenizer.json
call "$duet" perplexity bare text
refused "a tokenizer that is none" "tokenizer.json"
finish
