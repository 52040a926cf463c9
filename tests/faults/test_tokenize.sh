#!/bin/bash
# test_tokenize.sh DUET: `duet tokenize` takes a tokenizer.json, a folder with one, a checkpoint and
# a run; goes both ways; names bad lines with their numbers; takes text as data unless told
# otherwise; shows conversations by the model's template; streams.
. "${BASH_SOURCE%/*}/common.sh"
golden=$root/tests/golden
# the texts of a golden file, one JSON object a line, and the ids that `tokenizers` gives
texts() { sed 's/, "ids".*/}/' "$1"; }
ids() { sed 's/.*\("ids": \[[^]]*\]\).*/{\1}/' "$1"; }

for family in gpt2 llama3 qwen deepseek llama2; do
    texts "$golden/bpe_$family.jsonl" >texts
    ids "$golden/bpe_$family.jsonl" >want
    call "$duet" tokenize "$golden/bpe_$family.json" texts --special
    check "$family: exit 0" equal "$code" 0
    check "$family: ids as tokenizers gives them" cmp want out
    "$duet" tokenize "$golden/bpe_$family.json" --special <texts >out 2>err
    check "$family: the same from standard input" cmp want out
    cp want given
    call "$duet" tokenize "$golden/bpe_$family.json" given --decode
    check "$family: decode: exit 0" equal "$code" 0
    check "$family: decode: a line each" equal "$(wc -l <out)" "$(wc -l <texts)"
    mv out back
    call "$duet" tokenize "$golden/bpe_$family.json" back --special
    check "$family: the text that came back has as many lines" equal "$(wc -l <out)" "$(wc -l <texts)"
done

# --- text is data; ids around a text ---
echo '{"text": "a<|eot_id|>", "more": [1]}' >in
call "$duet" tokenize "$golden/bpe_llama3.json" in
check "data: no special token" hasnt out 422
call "$duet" tokenize "$golden/bpe_llama3.json" in --special
check "--special: one" equal "$(cat out)" '{"ids": [64, 422]}'
call "$duet" tokenize "$golden/bpe_llama3.json" in --special --add-special
check "--add-special: the beginning" equal "$(cat out)" '{"ids": [421, 64, 422]}'
echo '{"ids": [421, 64, 422]}' >given
call "$duet" tokenize "$golden/bpe_llama3.json" given --decode
check "decode: special tokens as their text" equal "$(cat out)" '{"text": "<|begin_of_text|>a<|eot_id|>"}'
echo '{"text": "\u0000\"\\\n\u007f é"}' >in
call "$duet" tokenize "$golden/bpe_qwen.json" in
cp out given
call "$duet" tokenize "$golden/bpe_qwen.json" given --decode
check "JSON's escapes come back" equal "$(cat out)" '{"text": "\u0000\"\\\u000a\u007f é"}'

# --- what MODEL may be ---
base
train 2 run --set mesh.pp=2
check "train: exit 0" equal "$code" 0
mkdir folder && cp "$golden/bpe_qwen.json" folder/tokenizer.json
echo '{"text": "1+2"}' >in
for model in folder run run/checkpoints run/checkpoints/step-*; do
    call "$duet" tokenize "$model" in
    check "$model: exit 0" equal "$code" 0
    check "$model: three ids" equal "$(tr -cd , <out)" ,,
done
call "$duet" tokenize nowhere in
check "nothing there: exit 2" equal "$code" 2
check "nothing there: named" has err "nowhere: cannot be read: No such file or directory"
mkdir empty
call "$duet" tokenize empty in
check "an empty folder: exit 2" equal "$code" 2
check "an empty folder: named" has err "empty: is neither a checkpoint nor a folder of checkpoints"
sed 's/"ByteLevel"/"Bytes"/g' folder/tokenizer.json >bytes.json
call "$duet" tokenize bytes.json in
check "a kind that is not known: exit 2" equal "$code" 2
check "a kind that is not known: named" has err 'bytes.json: pre_tokenizer: type "Bytes" is not one that this program runs'
check "all that is wrong at once" has err 'bytes.json: decoder: type "Bytes"'

# --- bad lines ---
printf '%s\n' '{"text": "a"}' 'no JSON' '' '{"text": 3}' '{"text": "b"}' '{"text": "\ud800"}' >bad.jsonl
call "$duet" tokenize folder bad.jsonl
check "bad lines: exit 2" equal "$code" 2
check "bad lines: line 2" has err "bad.jsonl:2: is not JSON"
check "bad lines: line 4" has err 'bad.jsonl:4: needs "text": a string'
check "bad lines: line 6" has err "bad.jsonl:6: is not JSON"
check "bad lines: what stood before them was written, nothing behind" equal "$(wc -l <out)" 1
printf '%s\n' '{"ids": [1, 99999]}' '{"ids": [-1]}' '{"ids": 1}' '{"text": "a"}' >bad.jsonl
call "$duet" tokenize folder bad.jsonl --decode
check "bad ids: exit 2" equal "$code" 2
check "bad ids: which" has err 'bad.jsonl:1: "ids"[1] is not an id below'
check "bad ids: negative" has err 'bad.jsonl:2: "ids"[0] is not an id below'
check "bad ids: no list" times 2 err 'needs "ids": a list of token ids'

# --- conversations ---
mkdir chat && cp "$golden/bpe_llama3.json" chat/tokenizer.json
cat >chat/chat_template.jinja <<'EOT'
{{ bos_token }}{% for m in messages %}{{ '[' + m.role + ']' + m.content + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '[answer]' if enable_thinking is undefined else '[now]' }}{% endif %}
EOT
echo '{"bos_token": {"content": "<|begin_of_text|>"}}' >chat/tokenizer_config.json
hello='{"messages": [{"role": "user", "content": "a<|eot_id|>"}]'
printf '%s\n' "$hello}" "$hello, \"add_generation_prompt\": true}" "$hello, \"add_generation_prompt\": true, \"enable_thinking\": false}" >talk
call "$duet" tokenize chat talk --chat
check "chat: exit 0" equal "$code" 0
check "chat: by the template" equal "$(sed -n 1p out)" '{"text": "<|begin_of_text|>[user]a<|eot_id|><|eot_id|>", "ids": [421, 58, 84, 82, 278, 60, 64, 27, 91, 68, 78, 83, 62, 72, 67, 91, 29, 422]}'
check "chat: an answer asked for" grep -q '^{"text": "[^"]*<|eot_id|>\[answer\]"' out
check "chat: without thinking" grep -q '^{"text": "[^"]*<|eot_id|>\[now\]"' out
call "$duet" tokenize chat talk --chat --set 'data.system=be brief'
check "chat: data.system" grep -q '^{"text": "<|begin_of_text|>\[system\]be brief<|eot_id|>\[user\]' out
call "$duet" tokenize chat talk --chat --set 'data.template={system}\n{/}Q {user}{/}A {assistant}<|eot_id|>'
check "chat: a template of our own" equal "$(sed -n '2s/, "ids.*//p' out)" '{"text": "Q a<|eot_id|>A "'
printf '%s\n' '{"messages": []}' '{"messages": [{"role": "tool", "content": "a"}]}' '{"messages": [{"role": "user"}]}' >bad.jsonl
call "$duet" tokenize chat bad.jsonl --chat
check "chat: bad lines: exit 2" equal "$code" 2
check "chat: no messages" has err 'bad.jsonl:1: needs "messages"'
check "chat: no such role" has err 'bad.jsonl:2: a message needs a "role": system, user or assistant'
check "chat: no content" has err 'bad.jsonl:3: a message needs a "content"'
echo "{% if messages | length > 4 %}{{ raise_exception('too many') }}{% endif %}$(cat chat/chat_template.jinja)" >picky.jinja
echo '{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "a"}, {"role": "user", "content": "a"}, {"role": "user", "content": "a"}, {"role": "user", "content": "a"}]}' >many
call "$duet" tokenize chat many --chat --set data.template=picky.jinja
check "chat: refused by the template" has err 'many:1: the template refuses this conversation: it says: too many'
call "$duet" tokenize folder talk --chat
check "chat: no template: exit 2" equal "$code" 2
check "chat: no template: said" has err 'data.template is model, but folder/ has neither a chat_template.jinja nor a tokenizer_config.json with a chat_template'
call "$duet" tokenize "$golden/tiny_llama.gguf" talk --chat
check "chat: the template in a GGUF file" has err 'tiny_llama.gguf: this chat template cannot be used: a list, a dict or loop is printed'
call "$duet" tokenize chat talk --chat --decode
check "chat: not with --decode" has err '--chat excludes --decode, --special and --add-special'
call "$duet" tokenize chat talk --set data.system=r1
check "--set: with --chat only" has err '--set goes with --chat'

# --- a long input, in memory that does not grow with it ---
for ((i = 0; i < 2000; i++)); do echo '{"text": "the cat sat on the mat and the rat ran; 1234567890 don'"'"'t\n"}'; done >some
for ((i = 0; i < 50; i++)); do cat some; done >many
(
    ulimit -v 400000
    "$duet" tokenize folder many >out 2>err
)
check "a long input" equal "$(wc -l <out)" 100000
finish
