#!/bin/bash
# test_ends.sh DUET: every real-valued setting, at both ends of its range, in real steps of
# supervised learning and GRPO on one rank.
# P8: the run exits 0, or 1 or 2 with what to change; never by a signal or as our bug, and
# metrics.jsonl contains no value that is not a number.
# shellcheck source=tests/faults/common.sh
. "${BASH_SOURCE%/*}/common.sh"
# The format reward, which the steps of `base` teach half-way, makes the answers of a group differ.
sed -e '/kind: grpo/,$d' -e 's/dp: 2, pp: 2, //' recipe.yaml >base.yaml
call "$duet" train base.yaml --set out=base
check "base: exit 0" equal "$code" 0 || finish
cat >fresh.yaml <<'YAML'
seed: 7
model: {layers: 4, hidden: 32, heads: 2, max_context: 128}
mesh: {decode_slots: 16}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 512}
checkpoint: {every: 0, keep: 1}
phases:
  - {kind: sft, steps: 2, batch: 8, lr: 1e-2, lr_decay: linear}
  - {kind: grpo, steps: 2, prompts: 4, samples: 4, mini_batches: 2, max_new: 24, lr: 1e-3, lr_decay: linear, kl: 0.1, reward_format: 0.5}
YAML
sed 's/max_context: 128/&, from: base/' fresh.yaml >warm.yaml
sed 's/max_context: 128/&, experts: 4/' fresh.yaml >experts.yaml

# at RECIPE SET...: one run; its faults are written to `said`, its exit to `ended`
at() {
    local recipe=$1 set sets=() folder=run.$BASHPID how
    shift
    for set; do sets+=(--set "$set"); done
    timeout 60 "$duet" train "$recipe" --set "out=$folder" "${sets[@]}" >"$folder.out" 2>&1 </dev/null
    how=$?
    echo "$how $recipe $* $(grep -m 1 -E 'why:|number' "$folder.out")" >>ended
    case $how in
    0) ;;
    1) { grep -q '^  why:  .*[a-z]' "$folder.out" && grep -q '^  fix:  .*[a-z]' "$folder.out"; } || wrong "exit 1 without why and what to do" "$@" ;;
    2) grep -q '^1 problem' "$folder.out" || wrong "exit 2 without a problem" "$@" ;;
    *) wrong "exit $how" "$@" ;;
    esac
    [ ! -e "$folder/metrics.jsonl" ] || ! grep -qiE '[:,[] *[-+]?(nan|inf)' "$folder/metrics.jsonl" || wrong "no number in metrics.jsonl" "$@"
    rm -rf "$folder" "$folder.out"
}
wrong() { { echo "$1:" "${@:2}"; tail -n 6 "$folder.out"; } >>said; }

# The table, as help prints it: section, name, both ends.
"$duet" help settings >settings
awk '/^[a-z]+: \(/ { section = $1; sub(":", ".", section) }
    match($0, / number, [^ ;]+ to [^ ;]+/) && !/whole number/ { split(substr($0, RSTART, RLENGTH), w, " "); sub(":", "", $1); print section, $1, w[2], w[4] }
    /^\(top level/ { section = "-" }' settings >reals
while read -r section name low high; do
    for value in "$low" "$high"; do
        case $section in
        -) echo "fresh.yaml $name=$value" ;;
        phases.) echo "warm.yaml phases.grpo.$name=$value"; grep -q "^  $name: .*; .*sft" settings && echo "warm.yaml phases.sft.$name=$value" ;;
        model.) echo "$([ "$name" = balance ] && echo experts.yaml || echo fresh.yaml) $section$name=$value" ;;
        *) echo "fresh.yaml $section$name=$value" ;;
        esac
    done
done <reals >list
# Ends that meet.
cat >>list <<'LIST'
warm.yaml phases.sft.lr=10 phases.sft.weight_decay=10 phases.sft.grad_clip=0
warm.yaml phases.grpo.lr=10 phases.grpo.weight_decay=10 phases.grpo.grad_clip=0
warm.yaml phases.grpo.lr=10 phases.grpo.kl=100 phases.grpo.clip_high=100 phases.grpo.epochs=4
warm.yaml phases.grpo.temperature=0.001 phases.grpo.kl=100
warm.yaml phases.grpo.temperature=0.001 phases.grpo.top_p=1e-06 phases.grpo.reward_format=100
warm.yaml phases.grpo.adam_eps=1e-20 phases.grpo.beta1=0 phases.grpo.beta2=0
warm.yaml phases.grpo.adam_eps=1e-20 phases.grpo.beta1=0.9999999 phases.grpo.beta2=0.9999999
fresh.yaml model.init_std=10 model.norm_eps=1e-12
fresh.yaml model.init_std=0 model.norm_eps=1e-12 phases.grpo.kl=100
fresh.yaml model.init_std=10 phases.sft.lr=10 precision=fp32
fresh.yaml model.init_std=10 phases.sft.grad_clip=0 model.qk_norm=true
LIST
run_all() { local words; while read -ra words; do at "${words[@]}"; done; }
run_all < <(sed -n '1~2p' list) &
other=$!
run_all < <(sed -n '2~2p' list)
wait "$other"

check "reals were found in the table" test "$(wc -l <reals)" -ge 20
check "their ends are numbers" equal "$(awk '$3 + 0 == $3 && $4 + 0 == $4' reals | wc -l)" "$(wc -l <reals)"
check "every one was tried" equal "$(wc -l <ended)" "$(wc -l <list)"
touch said
check "P8: ends of ranges in real steps" equal "$(<said)" ""
check "most of them train" test "$(grep -c '^0' ended)" -ge 50
finish
