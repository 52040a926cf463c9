#!/bin/bash
# test_docs.sh DUET: every command line of every page is run as a reader would type it, in a folder
# that looks like a fresh clone, with two exceptions, both visible in the page: a line (or the
# sentence of a `--set`) that says "needs a cluster" or "inside a Slurm job", and measurements that
# say how many minutes they take (their scripts are only parsed). Training and benchmarks are
# shortened by what `shrink` appends; more than four ranks are planned, not started. A command that
# matches no rule below is a failure.
# shellcheck source=tests/faults/common.sh
. tests/faults/common.sh
pages=$(cd "$root" && git ls-files '*.md' 2>/dev/null || find . -name '*.md' -not -path './build/*' -printf '%P\n')

# --- a folder like a clone, with a run in it ---
for d in launch tests hostfiles docs Makefile; do ln -s "$root/$d" "$d"; done
mkdir build build/release && ln -s "$duet" build/duet
printf 'localhost slots=64\n' | tee my-hosts >hosts
sed "s/^  dp: .*/  dp: 0/" "$root/launch/recipes/arithmetic.yaml" >my-recipe.yaml

# Settings with which the shipped recipes take seconds; a model that is read has the sizes of its
# folder.
shrunk() { # recipe
    local name kind
    printf '%s' "--set checkpoint.every=0 --set mesh.decode_slots=8"
    [ -n "$("$duet" settings "$1" --get model.from)" ] || printf '%s' " --set model.layers=4 --set model.hidden=32 --set model.heads=2"
    while read -r name kind; do
        case $kind in
        sft) printf ' --set phases.%s.steps=1 --set phases.%s.warmup=0' "$name" "$name" ;;
        grpo) printf ' --set phases.%s.steps=1 --set phases.%s.prompts=2 --set phases.%s.samples=2 --set phases.%s.warmup=0' "$name" "$name" "$name" "$name" ;;
        eval) printf ' --set phases.%s.prompts=2 --set phases.%s.samples=2' "$name" "$name" ;;
        esac
        case $kind in sft | grpo) ;; *) continue ;; esac
        [ "$("$duet" settings "$1" --get "phases.$name.eval_every")" = 0 ] || printf ' --set phases.%s.eval_prompts=2' "$name"
    done < <("$duet" settings "$1" --get phases)
}

# --- what a line of a page asks for ---
# commands PAGE: "number<TAB>line" of each command: lines of code blocks, and `spans` of the text
# that begin with a program and go on
commands() {
    awk '
    function ours(s) { return s ~ /^(bash )?(build\/duet|duet|launch\/[a-z\/]+\.sh|tests\/[a-z_\/]+\.sh|make)( |$)/ || s ~ /^for [a-z]+ in .*(launch|build)\// }
    function starts(s) { return ours(s) || s ~ /^(mpirun|sbatch|srun) / || s ~ /^[A-Za-z_]+=[^ ]* (build|launch)/ }
    /^```/ { fenced = !fenced; next }
    fenced || /^    / { s = $0; sub(/^ */, "", s); sub(/^\$ /, "", s); if (starts(s)) print NR "\tblock\t" s; next }
    { n = split($0, part, "`"); for (i = 2; i <= n; i += 2) if ((ours(part[i]) || part[i] ~ /^--set [a-z_.]+=[^ ]/ && part[i] !~ /=(value|…|[A-Z])/) && part[i] ~ / /) print NR "\tspan\t" part[i] }' "$1"
}
# placeholders for something of the reader's
filled() {
    sed -E -e 's/[[:space:]]{3,}[^"]*$//; s/ +#.*$//; s/[[:space:]]+$//' -e 's/ …$//' -e 's/\bRUN_[AB]\b/runs\/countdown/g; s/\bRUN\//runs\/countdown\//g' \
        -e '/--nodes|-n 32/s/\bRECIPE\b/my-recipe.yaml/' -e 's/ (MODEL|CHECKPOINT)\b/ runs\/countdown/g; s/\bRECIPE\b/launch\/recipes\/countdown.yaml/g; s/([ "])SAMPLES\.jsonl/\1runs\/countdown\/samples.jsonl/g' \
        -e 's/\/models\/Qwen[^ ]*/my-model/g; s/runs\/mine/runs\/countdown/g; s/\/models\/mine/exported/g' \
        -e 's/--hostfile FILE/--hostfile my-hosts/g; s/--cluster FILE/--cluster launch\/clusters\/laptop.yaml/g; s/ \[[^]]*\]//g'
}
ranks_of() { grep -oE -- '-n [0-9]+' <<<"$1" | head -n 1 | cut -c 4-; }
recipe_of() { grep -oE '[^ ]+\.yaml' <<<"$1" | grep -v clusters | head -n 1; }
target_exists() { # make line: the word behind `make`; what follows is variables or words of the page
    local word=${1#make }
    grep -q "^${word%% *}:" "$root/Makefile" || { echo "no target ${word%% *}"; return 1; }
}
option_exists() { # script option...: in its help
    "$1" --help 2>&1 | grep -qF -- "$2 " || { echo "$1 has no option $2"; return 1; }
}
command_exists() { "$duet" --help | grep -q "^  $1 " || [ "$1" = help ] || { [[ $1 == --* ]] && "$duet" "$1" >out; } || { echo "no command $1"; return 1; }; }
runs() { # command line...: exit 0
    timeout 120 bash -c "$1" >out 2>err </dev/null
    code=$?
    [ $code -eq 0 ] || { echo "exit $code"; return 1; }
}
said() { grep -qE 'needs a cluster|inside a Slurm job' <<<"$1"; }
minutes() { # page, line: the script that measures is there, and its page says how long it takes
    local script
    script=$(grep -oE 'tests/[a-z_/]+\.sh' <<<"$2" | head -n 1)
    [ -f "$root/$script" ] || { echo "no $script"; return 1; }
    bash -n "$root/$script" || return 1
    case $script in
    tests/faults/* | tests/hosts/* | tests/slurm/* | tests/support/*) ;;
    *) grep -qE "$script.*minute|minute.*$script" "$root/$1" || { echo "$1 does not say how many minutes $script takes"; return 1; } ;;
    esac
}
try() { # page kind line: by the first rule that fits
    : >out; : >err
    local line n recipe
    said "$3" && return 0
    line=$(filled <<<"$3")
    n=$(ranks_of "$line")
    case $line in
    "duet "*)
        [ "$2" = span ] || { echo "begins with a bare duet: nothing has put it on the path"; return 1; }
        line=${line#duet }
        command_exists "${line%%[ |]*}" ;;
    "--set "*) runs "build/duet plan launch/recipes/countdown.yaml --ranks 4 $line" || runs "build/duet plan my-recipe.yaml --ranks 1 --set mesh.pp=1 $line" ;;
    make*) target_exists "$line" ;;
    bash\ tests/* | tests/*) minutes "$1" "$line" ;;
    "for "*) bash -n -c "$line" ;;
    launch/submit.sh* | *" --dry-run"*) runs "${line/launch\/submit.sh/launch/submit.sh --dry-run}" ;;
    launch/preflight.sh*)
        line=${line/hostfiles\/4-hosts/my-hosts}
        runs "${line/preflight.sh/preflight.sh --no-messages}" ;;
    launch/testbed/*) launch/testbed/testbed.sh --help 2>&1 | grep -qF -- "$(cut -d ' ' -f 1-2 <<<"$line")" ;;
    "launch/run.sh --"[a-z]* | "launch/run.sh --"[a-z]*" FILE")
        # shellcheck disable=SC2086
        option_exists $line ;;
    launch/run.sh*hostfile* | launch/run.sh*"train ...") runs "${line/launch\/run.sh/launch/run.sh --dry-run}" ;;
    *"build/duet bench pipeline"*) runs "${line/-n $n/-n 4} --stages 2 --micro-batches 4 --steps 1 --pass-ms 2" ;;
    *"build/duet bench "*) runs "$line --help" ;;
    *"build/duet train"*)
        [ "${n:-1}" -le 4 ] || { echo "more than four ranks, and no hostfile"; return 1; }
        recipe=$(recipe_of "$line")
        rm -rf trial && runs "$line $(shrunk "$recipe") --set out=trial" || return 1
        recipe=runs/$(basename "$recipe" .yaml) # where a reader has it
        [ -e "$recipe" ] || mv trial "$recipe" ;;
    *"build/duet pack"*) runs "$line --batch 2" ;;
    *"build/duet sample"*) runs "$line --problems 1" ;;
    *"build/duet eval"*) runs "$line --prompts 2 --samples 2" ;;
    build/duet*) runs "$line" ;;
    *) echo "no rule of this test knows this command"; return 1 ;;
    esac
}

# --- a run for those that talk to one, models for those that name one, then every page ---
recipe=launch/recipes/countdown.yaml
# shellcheck disable=SC2046
train 2 runs/countdown $(shrunk launch/recipes/countdown.yaml) --set mesh.dp=1 --set phases.grpo.save_samples=99
check "a run to talk to" equal "$code" 0 || finish
cp -r "$root/tests/golden/hf/qwen2" my-model # a folder as the hub has them
printf '{%% for m in messages %%}{{ m.role }}: {{ m.content }}\n{%% endfor %%}{%% if add_generation_prompt %%}assistant: {%% endif %%}' >my-model/chat_template.jinja
mkdir models && cp -r "$root/tests/golden/hf/llama" models/SmolLM2-135M-Instruct
sed -i 's/"max_position_embeddings": [0-9]*/"max_position_embeddings": 512/' models/*/config.json
echo '{"prompt_ids": [1, 2], "answer_ids": [3, 4]}' >tokens.jsonl
echo '{"id": 1, "answer": "1+6=7</think><answer>7</answer>", "expected": "7"}' >answers.jsonl

seen=0
for page in $pages; do
    [ "$page" != docs/TUTORIAL.md ] || continue # its commands build on each other: test_tutorial.sh
    while IFS=$'\t' read -r number kind line; do
        seen=$((seen + 1))
        check "$page:$number: $line" try "$page" "$kind" "$line"
    done < <(commands "$root/$page")
done
check "commands were found" [ "$seen" -gt 60 ]
finish
