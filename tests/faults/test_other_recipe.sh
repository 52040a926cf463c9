#!/bin/bash
# test_other_recipe.sh DUET: a run is resumed, or its weights are used, with another recipe, other
# data, another tokenizer or model than its checkpoint was saved with. Every difference is reported;
# what makes position or weights meaningless exits 2 and leaves the folder untouched; other
# differences are accepted; more steps continue the training; recipe.yaml records what was done.
. "${BASH_SOURCE%/*}/common.sh"

python3 - <<'PY'
import json, os
r = [dict(prompt=f"{a}+{b}", answer=str(a + b), demonstration=f"{a}+{b}={a+b}") for a in range(1, 9) for b in range(1, 9)]
for name, part in (("p", r[:48]), ("h", r[48:]), ("o", r[8:56]), ("i", r[40:])):
    open(name + ".jsonl", "w").write("".join(json.dumps(x) + "\n" for x in part))
PY
cp p.jsonl q.jsonl
cat >s.yaml <<'YAML'
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
mesh: {decode_slots: 16}
data: {task: file, file: p.jsonl, heldout_file: h.jsonl, micro_batch_tokens: 128}
checkpoint: {every: 2, keep: 2}
phases:
  - {kind: sft, steps: 4, batch: 8, lr: 3e-3}
YAML
sed '$a\  - {kind: grpo, steps: 3, prompts: 4, samples: 4, max_new: 24, reward_format: 0.5, save_samples: 999}' s.yaml >r.yaml
last='  - {kind: eval, name: last, prompts: 4, samples: 2, max_new: 24}'

# Nothing but the clock and the launcher's files may differ.
of_folder() { find "$1" -type f | sort | xargs md5sum; }
# at STEP RUN: a copy of the run, in `run`, as if it had ended there
at() {
    rm -rf run
    cp -r "$2" run
    back_to "$1" run
}
# resume RECIPE ARGUMENTS...: resumes `run`
resume() {
    local recipe=$1
    shift
    call "$duet" train "$recipe" --set out=run --resume auto "$@"
}
# refused NAME MESSAGE RECIPE ARGUMENTS...: exit 2, nothing touched, the row of the table and what
# to do
refused() {
    local name=$1 message=$2 before
    shift 2
    before=$(of_folder run)
    resume "$@"
    check "$name: refused" equal "$code" 2
    check "$name: what" grep -q "REFUSED: " <(grep -E "$message" err)
    check "$name: what to do" has err "restore the old ones (its recipe.yaml has them), or start"
    check "$name: untouched" equal "$(of_folder run)" "$before"
}
# accepted NAME ROW RECIPE ARGUMENTS...: exit 0, the row of the table
accepted() {
    local name=$1 row=$2
    shift 2
    resume "$@"
    check "$name: goes on" equal "$code" 0
    check "$name: reported" grep -qE "$row" err
    check "$name: not refused" hasnt err REFUSED
}

call "$duet" train s.yaml --set out=sft
check "the run: exit 0" equal "$code" 0
call "$duet" train r.yaml --set out=both
check "the run with grpo: exit 0" equal "$code" 0

# --- the position ---
at 2 sft
refused "other data" 'data.file  p.jsonl, [0-9a-f]{16}  o.jsonl, [0-9a-f]{16}' s.yaml --set data.file=o.jsonl
check "other data: the way on" has err "--set model.from=run/checkpoints/step-00000002 --set out=FOLDER"
mv p.jsonl kept.jsonl && cp o.jsonl p.jsonl
refused "the same file with other lines" 'data.file  p.jsonl, [0-9a-f]{16}  p.jsonl, [0-9a-f]{16}' s.yaml
mv kept.jsonl p.jsonl
refused "another batch" 'phases.sft.batch  8 +4 +' s.yaml --set phases.sft.batch=4
refused "another seed" 'seed +1 +2 +' s.yaml --set seed=2
refused "another task" 'data.task +file +arithmetic' s.yaml --set data.task=arithmetic --set data.file= --set data.heldout_file=
refused "fewer steps than were made" 'phases.sft.steps  4 +1 ' s.yaml --set phases.sft.steps=1
refused "another name" 'phases that have begun  sft +warm' s.yaml --set phases.sft.name=warm
sed 's/- {kind: sft/- {kind: sft, name: first, steps: 1}\n  &/' s.yaml >inserted.yaml
refused "a phase before" 'phases that have begun  sft +first' inserted.yaml
at 6 both
refused "other prompts" 'phases.grpo.prompts  4 +8 .*step 2 of phase grpo' r.yaml --set phases.grpo.prompts=8
refused "more steps of a phase that is over" 'phases.sft.steps +4 +9 .*later phases have begun' r.yaml --set phases.sft.steps=9
refused "a phase less" 'phases that have begun  sft, grpo' <(sed '/kind: sft/d' r.yaml)
refused "phases the other way round" 'phases that have begun  sft, grpo +grpo, sft' <(sed '/kind: sft/d' r.yaml | sed '$a\  - {kind: sft, steps: 4, batch: 8, lr: 3e-3}')

# --- the weights ---
at 2 sft
refused "other heads" 'model.heads +2 +4 ' s.yaml --set model.heads=4
check "other heads: the way on" has err "or start another run with --set out=FOLDER"
refused "another ffn" 'model.ffn +88 +96 ' s.yaml --set model.ffn=96
refused "another base of rotations" 'model.rope_theta ' s.yaml --set model.rope_theta=20000
refused "another epsilon" 'model.norm_eps ' s.yaml --set model.norm_eps=1e-5
refused "normed queries" 'model.qk_norm ' s.yaml --set model.qk_norm=true
python3 - <<'PY'
import json, glob
t = json.load(open(glob.glob("sft/checkpoints/step-*/tokenizer.json")[0]))
v = t["model"]["vocab"]
json.dump(t, open("same.json", "w"), indent=3)
v["1"], v["2"] = v["2"], v["1"]
json.dump(t, open("swapped.json", "w"))
PY
refused "a tokenizer with other ids" 'model.tokenizer +[0-9]+ is "1" +[0-9]+ is "2" ' s.yaml --set model.tokenizer=swapped.json

# --- choices ---
accepted "the same tokens in another file" 'model.tokenizer +another file +the same ids' s.yaml --set model.tokenizer=same.json
at 2 sft
accepted "data that moved" 'data.file  p.jsonl  q.jsonl  the same problems' s.yaml --set data.file=q.jsonl
at 2 sft
accepted "other held-out problems" 'data.heldout_file .*scores before and after' s.yaml --set data.heldout_file=i.jsonl
at 2 sft
accepted "another rate" 'phases.sft.lr +0.003 +0.001 +applies from here on' s.yaml --set phases.sft.lr=1e-3
at 2 sft
accepted "another precision" 'precision +fp32 +bf16 +from here on weights and activations are rounded to 8 significant bits; the optimizer.s weights stay fp32' s.yaml --set precision=bf16
at 2 sft
resume s.yaml --set out=./run --set watchdog_s=50 --set log=debug
check "not worth saying: exit 0" equal "$code" 0
check "not worth saying: not said" hasnt err "was saved with other settings"
check "not worth saying: one recipe" equal "$(find run -name 'recipe-*')" ""
at 4 both
accepted "other data between phases" 'data.file .*other problems from here on' r.yaml --set data.file=o.jsonl
at 2 both
accepted "later phases" 'later phases  grpo +last' <(sed "/kind: grpo/c\\$last" r.yaml)

# --- steps ---
at 2 sft
accepted "the rate jumps" 'phases.sft: next learning rate  0.003 +0.002492 +it jumps at step 2' s.yaml --set phases.sft.steps=8 --set phases.sft.lr_decay=cosine
check "the rate jumps: as said" equal "$(values run/metrics.jsonl lr | sed -n 3p | cut -c 1-7)" 0.00249
at 6 both
accepted "the rate jumps with several updates a step" 'phases.grpo: next learning rate  0.001 +0.00028 +it jumps at step 2' r.yaml --set phases.grpo.mini_batches=2 --set phases.grpo.lr_decay=linear
call "$duet" train s.yaml --set out=eight --set phases.sft.steps=8
at 4 sft
accepted "P5: a finished run with more steps" 'phases.sft.steps  4 +8 +phase sft continues from its step 4 to 8' s.yaml --set phases.sft.steps=8
check "P5: a finished run with more steps: as one that had them" alike eight run
check "more steps: recipe.yaml says them" has run/recipe.yaml "    steps: 8"
check "more steps: what held before is kept" has run/recipe-until-step-00000004.yaml "    steps: 4"
back_to 4 run
rm -r run/checkpoints/step-00000004
cp -r sft/checkpoints/step-00000002 run/checkpoints && back_to 2 run
resume s.yaml
check "back before that: exit 0" equal "$code" 0
check "back before that: its recipe is gone" equal "$(find run -name 'recipe-*')" ""
at 4 sft
resume s.yaml --set mesh.decode_slots=8
check "finished: exit 0" equal "$code" 0
check "finished: reported" has err "nothing is left to train; for more steps give --set phases.sft.steps=N, above 4"
check "finished: recipe.yaml is that of the steps made" cmp sft/recipe.yaml run/recipe.yaml
sed "\$a\\$last" r.yaml >last.yaml
at 7 both
accepted "a phase behind the last" 'later phases  none +last' last.yaml
accepted "more steps before an evaluation" 'phase grpo continues from its step 3 to 5' last.yaml --set phases.grpo.steps=5
check "more steps before an evaluation: then it is made again" equal "$(values run/metrics.jsonl phase | tail -n 4 | tr '\n' ' ')" '"last" "grpo" "grpo" "last" '
at 6 both
accepted "a rate of a phase that is over" 'phases.sft.lr .*no effect: phase sft is finished' r.yaml --set phases.sft.lr=1e-3
check "a rate of a phase that is over: recipe.yaml has what was done" has run/recipe.yaml "    lr: 0.003"

# --- weights from elsewhere ---
call "$duet" train s.yaml --set out=new --set model.from=sft --set model.heads=4
check "from, other heads: refused" equal "$code" 2
check "from, other heads: reported" grep -qE 'model.heads +2 +4 .*REFUSED: ' err
check "from, other heads: what to do" has err "its weights are meaningless with other values of model.heads, model.kv_heads, model.head_dim: use those of its recipe.yaml"
check "from, other heads: no folder" test ! -e new
call "$duet" train s.yaml --set out=new --set model.from=sft --set model.tokenizer=swapped.json
check "from, other ids: refused" equal "$code" 2
call "$duet" train s.yaml --set out=new --set model.from=sft --set data.file=o.jsonl --set seed=3 --set phases.sft.batch=4
check "from, other data: exit 0" equal "$code" 0
call "$duet" eval sft --prompts 2 --samples 1 --set model.heads=4
check "eval, other heads: refused" equal "$code" 2
check "eval, other heads: reported" has err "model.heads: 2 in the checkpoint, now 4: the weights are meaningless with it"
call "$duet" sample sft 1+1 --set model.tokenizer=swapped.json
check "sample, other ids: refused" equal "$code" 2
check "sample, other ids: reported" grep -q 'model.tokenizer: [0-9]* is "1" in the checkpoint, now [0-9]* is "2"' err
call "$duet" sample sft 1+1 --set model.tokenizer=same.json --set model.max_context=48
check "sample, the same ids: exit 0" equal "$code" 0

# --- a chat template in a file: by what is in it ---
said() { printf '%s' "{% for m in messages %}$1{{ m.content }}{% if m.role == 'assistant' %}<eos>{% endif %}{% endfor %}"; }
said '[' >a.jinja
cp a.jinja moved.jinja
sed 's/file: p.jsonl,/& template: a.jinja,/' r.yaml >t.yaml
call "$duet" train t.yaml --set out=templated
check "a template in a file: exit 0" equal "$code" 0
at 2 templated
said '(' >a.jinja
refused "the same template file with another text" 'data.template  a.jinja, [0-9a-f]{16}  a.jinja, [0-9a-f]{16}  REFUSED: other prompts: the position, step 2 of phase sft' t.yaml
cp a.jinja other.jinja
refused "another template file" 'data.template  a.jinja, [0-9a-f]{16}  other.jinja, [0-9a-f]{16}' <(sed s/a.jinja/other.jinja/ t.yaml)
at 4 templated
accepted "another template between phases" 'data.template  a.jinja, .*other prompts from here on' t.yaml
at 2 templated
accepted "a template that moved" 'data.template  a.jinja  moved.jinja  the same template' <(sed s/a.jinja/moved.jinja/ t.yaml)
check "a template that moved: as before" alike templated run
at 2 templated
refused "a template of one's own instead" 'data.template +"a.jinja" +".*{user}.*REFUSED: the position' t.yaml --set 'data.template=({user}{/}){assistant}<eos>'
at 2 templated
"$root/tests/support/state.py" run/checkpoints/step-00000002 -chat_template
accepted "an older checkpoint with a template" 'has no checksum of its chat template: it is not compared' t.yaml

# --- the costs of a cluster: another plan, the same bits ---
links() { printf 'devices: 3\nmemory_gbs: 10\ncompute: {fp32: 0.1, achieved: 0.5}\ninside: {gbs: %s, us: %s}\n' "$1" "$2"; }
sed 's/layers: 2/layers: 6/; s/mesh: {/&pp: 3, cluster: c.yaml, /' r.yaml >c3.yaml
recipe=c3.yaml
links 10 0.1 >c.yaml
cp c.yaml moved.yaml
train 3 costs
check "fast links: exit 0" equal "$code" 0
check "fast links: a vee" has err "chunks placed in a vee"
at 2 costs
links 0.001 10000 >c.yaml
train 3 run --resume auto
check "slow links: exit 0" equal "$code" 0
check "slow links: a line" has err "chunks placed in a line"
check "slow links: reported" grep -qE 'mesh.cluster  c.yaml, [0-9a-f]{16}  c.yaml, [0-9a-f]{16}  schedule auto may choose another plan: another speed, the same bits' err
check "slow links: the same bits" "$root/tests/support/compare_runs.sh" --curves costs run
at 4 costs
train 3 run --resume auto --set mesh.cluster=moved.yaml
check "a cluster file that moved: exit 0" equal "$code" 0
check "a cluster file that moved: reported" grep -qE 'mesh.cluster  c.yaml  moved.yaml  the same costs' err
at 6 costs
train 3 run --resume auto --set mesh.cluster= --set schedule=zb1p
check "no cluster file: exit 0" equal "$code" 0
check "no cluster file: reported" grep -qE 'mesh.cluster  c.yaml +"" +no effect: schedule is zb1p, and only auto reads it' err
at 6 costs
"$root/tests/support/state.py" run/checkpoints/step-00000006 -cluster
train 3 run --resume auto
check "an older checkpoint with a cluster file: exit 0" equal "$code" 0
check "an older checkpoint with a cluster file: reported" has err "has no checksum of its cluster file: it is not compared"

# --- settings that the program of a checkpoint did not know: it did what their defaults do ---
at 2 sft
"$root/tests/support/state.py" run/checkpoints/step-00000002 '/^  rope_(scaling|factor|original): .*\n/'
check "an earlier recipe: as it was" hasnt run/checkpoints/step-00000002/recipe.yaml "rope_scaling"
refused "a setting of a later version" 'model.rope_scaling  +none .not recorded.  llama3 ' s.yaml --set model.rope_scaling=llama3 --set model.rope_original=32 --set model.rope_factor=2
accepted "an earlier recipe" 'does not record 3 of the current settings: these are compared with their defaults' s.yaml
check "an earlier recipe: no differences" hasnt err "was saved with other settings"
check "an earlier recipe: as before" alike sft run

# --- several ranks, several sites: once ---
recipe=s.yaml
sites=(--set mesh.sites=2 --set sites.every=2)
train 2 run-2 "${sites[@]}"
check "two sites: exit 0" equal "$code" 0
train 2 run-2 --resume auto --set mesh.sites=2 --set sites.every=3 --set phases.sft.steps=8
check "two sites: refused" equal "$code" 2
check "two sites: reported once" equal "$(grep -c 'restore the old ones' err) $(grep -c REFUSED err)" "1 1"
train 2 run-2 --resume auto "${sites[@]}" --set phases.sft.steps=8
check "two sites, more steps: exit 0" equal "$code" 0
check "two sites, more steps: on both" equal "$(tail -qn 1 run-2/site-*/metrics.jsonl | grep -c '"step":7')" 2

# --- an older checkpoint, without checksums: what is unknown is not compared ---
at 2 sft
"$root/tests/support/state.py" run/checkpoints/step-00000002 -metrics_xxh64 -samples_xxh64 -data_train -data_heldout
accepted "an older checkpoint" 'has no checksum of its data: they are not compared' s.yaml
check "an older checkpoint: as before" alike sft run
# The line by which a version recognises its own recipes.
check "recipe.yaml begins as ever" equal "$(head -n 1 run/recipe.yaml)" "# Written by duet train at every start, from the recipe it was given and --set."

# --- a run of the first version: settings of phases that do not use them, no zero_spread, no
# checksums of files and data ---
longer=(--set phases.sft.steps=80 --set phases.sft.lr=1e-2 --set phases.grpo.steps=4)
call "$duet" train r.yaml --set out=dropped "${longer[@]}" --set phases.grpo.zero_spread=drop
check "dropped: exit 0" equal "$code" 0
check "dropped: some groups have spread, some none" grep -qE '"reward/zero_std_fraction":0\.[1-9]' <(tail -n 1 dropped/metrics.jsonl)
at 82 dropped
for checkpoint in run/checkpoints/step-*; do
    "$root/tests/support/state.py" "$checkpoint" '/^ *zero_spread: .*\n/' '/^    batch: 8$/    batch: 8\n    save_tokens: false' \
        -metrics_xxh64 -samples_xxh64 -data_train -data_heldout
done
check "first version: as it was" has run/checkpoints/step-00000082/recipe.yaml "save_tokens: false"
call "$duet" eval run --prompts 2
check "first version: eval: exit 0" equal "$code" 0
refused_heads=$(of_folder run)
resume r.yaml "${longer[@]}" --set model.heads=4
check "first version: other heads: exit 2" equal "$code" 2
check "first version: other heads: untouched" equal "$(of_folder run)" "$refused_heads"
resume r.yaml "${longer[@]}"
check "first version: resumed: exit 0" equal "$code" 0
check "first version: groups without spread stay out" has err "predates zero_spread: groups without spread are left out as before (zero_spread: drop)"
check "first version: same as the unbroken run" alike dropped run
finish
