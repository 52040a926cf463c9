#!/bin/bash
# test_cli.sh DUET: the command line. Help and version exit 0; mistakes exit 2, are all reported at
# once with file and line, are printed once whatever the number of ranks, and leave nothing behind.
set -u
duet=$1
[ -x "$duet" ] || { echo "no program at $duet"; exit 1; }
duet=$(realpath "$duet")
root=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0

fail() {
    echo "FAIL $1"
    echo "--- stdout"; head -n 20 out
    echo "--- stderr"; head -n 20 err
    failed=1
}

# run CODE WORDS...: runs the program, expects the exit code
run() {
    local want=$1 code
    shift
    "$duet" "$@" >out 2>err </dev/null
    code=$?
    [ "$code" -eq "$want" ] || fail "duet $*: exit $code, not $want"
}

# has FILE TEXT: the file contains the text, literally
has() { grep -qF -- "$2" "$1" || fail "no \"$2\" in $1"; }
# times N FILE TEXT: in exactly N lines
times() { [ "$(grep -cF -- "$3" "$2")" -eq "$1" ] || fail "\"$3\" is not in $1 lines of $2"; }

# --- the program ---
run 2; has err "usage: duet COMMAND"
run 0 --help; has out "usage: duet COMMAND"; has out "train"
run 0 help; has out "inspect"
run 0 --version; has out "duet "; grep -qE '^duet [0-9.]+, commit [0-9a-z.-]+$' out || fail "--version says no commit: $(cat out)"
run 2 trian; has err "unknown command trian; did you mean train?"
run 2 help trian; has err "did you mean train?"
run 0 help settings; has out "micro_batch_tokens: 2048"; has out "model: (the network)"

run 0 help tasks; has out "countdown"; has out "number of numbers"

# --- every command has help ---
for command in $("$duet" --help | sed -n '/^commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    run 0 "$command" --help
    has out "usage: duet $command"
    run 0 help "$command"
    has out "usage: duet $command"
    run 2 "$command" --no-such-option
    has err "unknown option --no-such-option"
    has err "see: duet $command --help"
done
run 0 help settings; has out "temperature: 1"

# --- mistakes of the command line, all at once ---
run 2 inspect; has err "missing argument: duet inspect CHECKPOINT"
run 2 inspect a b --x; has err "unexpected argument \"b\""; has err "unknown option --x"

# --- settings, as scripts use them ---
printf 'out: "my runs"\nmesh: {pp:\n  2}\nphases: [{kind: sft, lr: 1e-3}]\n' >ask.yaml
run 0 settings ask.yaml --get out --get mesh.pp --get phases.sft.lr --set phases.sft.steps=7 --get phases.0.steps --get mesh.dp
[ "$(paste -sd'|' out)" = "my runs|2|0.001|7|0" ] || fail "settings --get: values in the order of asking"
run 0 settings ask.yaml --get phases; [ "$(cat out)" = "sft sft" ] || fail "settings --get phases: names and kinds"
run 0 settings ask.yaml; has out 'out: "my runs"'; has out "  pp: 2"; has out "    steps: "
cp out again.yaml
run 0 settings again.yaml; cmp -s out again.yaml || fail "settings: what it prints is no recipe of the same settings"
run 0 settings ask.yaml --ranks 8 --get mesh.dp; has out 4
run 2 settings ask.yaml --ranks 3; has err "does not divide 3 ranks"
run 2 settings ask.yaml --get model.layer; has err "--get model.layer: unknown setting layer; did you mean layers?"
run 2 settings none.yaml --get out; has err "none.yaml: cannot read the recipe"

# --- numbers of the command line: each has its range, which the help shows; refused before anything
# is opened ---
run 2 eval nowhere --max-new -1 --temperature -3 --top-p 9 --prompts 0 --samples 5000 --top-k=-2
for text in "--max-new: -1 is not in the range 1 to 1048576" "--temperature: -3 is not in the range 0 to 100" "--top-p: 9 is not in the range" \
    "--prompts: 0 is not in the range" "--samples: 5000 is not in the range 1 to 4096" "--top-k: -2 is not in the range"; do times 1 err "$text"; done
run 2 eval nowhere --prompts 524288 --samples 4096; has err "524288 prompts with 4096 samples each are too many answers for one step"
run 2 eval nowhere --prompts 99999999999999999999; times 1 err "--prompts: 99999999999999999999 is not in the range"
grep -qx "1 problem" err || fail "one mistake, more than one problem"
run 2 eval nowhere --temperature 1e-300; has err "--temperature: 1e-300 is neither 0 (greedy) nor at least 0.001"
run 2 sample nowhere --seed -1 --problems 257 --samples 99999999999
for text in "--seed: -1 is not in" "--problems: 257 is not in" "--samples: 99999999999 is not in"; do times 1 err "$text"; done
run 2 pack nowhere nothing --batch 0; has err "--batch: 0 is not in the range 1 to 1048576"
run 2 plan --stages 1025 --micro-batches 0 --message -1
for text in "--stages: 1025 is not in" "--micro-batches: 0 is not in" "--message: -1 is not in"; do times 1 err "$text"; done
run 2 plan --stages 1024 --micro-batches 2048; times 1 err "--stages 1024 times --micro-batches 2048 is 2097152; schedule dualpipe is drawn and measured up to 1048576"
run 2 plan nowhere --ranks 0 --answer 0 --vocabulary -5
for text in "--ranks: 0 is not in" "--answer: 0 is not in" "--vocabulary: -5 is not in"; do times 1 err "$text"; done
run 2 bench decode --steps 1001 --slots 0 --pass-ms 0 --members 65 --mib 0 --layers 0
for text in "--steps: 1001" "--slots: 0" "--pass-ms: 0" "--members: 65" "--mib: 0" "--layers: 0"; do times 1 err "$text is not in the range"; done
run 2 train nowhere --resume maybe; has err "--resume takes auto or no, not \"maybe\""
run 0 eval --help; has out "answers per problem (1 to 4096; default: 8)"
# a number without a range would read "(0 to 0": there must be none
for command in train sample eval score plan pack bench; do
    run 0 "$command" --help
    grep -q '(0 to 0[;)]' out && fail "an option of $command has no range"
done

# --- mistakes of a recipe ---
cat >bad.yaml <<'YAML'
sed: 1
model:
  layers: 0
  hiden: 64
  lr: 1e-3
phases:
  - kind: sft
    clip_low: 0.1
    steps: 1e3
YAML
mistakes=(
    "bad.yaml:1: unknown setting sed; did you mean seed?"
    "bad.yaml:3: layers: 0 is not in the range 1 to 1024"
    "bad.yaml:4: unknown setting hiden; did you mean hidden?"
    "bad.yaml:5: lr is a phase setting; put it in phases"
    "bad.yaml:8: clip_low is not used by the phase kind sft, only by grpo"
    "bad.yaml:9: steps: \"1e3\" is not a whole number"
    "--set model.heds=2: unknown setting heds; did you mean heads?"
)
run 2 train bad.yaml --set model.heds=2
for text in "${mistakes[@]}"; do times 1 err "$text"; done
run 2 train missing.yaml; has err "missing.yaml: cannot read the recipe: No such file or directory"

# --- the same on two ranks: reported once, and the job ends with the same code ---
"$root/launch/run.sh" -n 2 --timeout 60 "$duet" train bad.yaml --set model.heds=2 >out 2>err </dev/null
code=$?
[ "$code" -eq 2 ] || fail "bad.yaml on two ranks: exit $code"
for text in "${mistakes[@]}"; do times 1 err "$text"; done

# --- a mesh that cannot be ---
cat >mesh.yaml <<'YAML'
mesh: {dp: 2, pp: 2}
phases: [{kind: sft, steps: 1}]
YAML
"$root/launch/run.sh" -n 3 --timeout 60 "$duet" train mesh.yaml >out 2>err </dev/null
code=$?
[ "$code" -eq 2 ] || fail "mesh.yaml on three ranks: exit $code"
times 1 err "mesh.yaml:1: a mesh of dp 2 x pp 2 needs 4 ranks, not 3: start with mpirun -np 4"

# --- nothing was started ---
left=$(find . -mindepth 1 ! -name out ! -name err ! -name '*.yaml')
[ -z "$left" ] || fail "left behind: $left"

exit $failed
