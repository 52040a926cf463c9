#!/bin/bash
# test_completion.sh DUET: what a shell offers after TAB, from the script that `duet completion`
# prints: commands, options, settings, phases of the recipe on the line, values; in bash, and in zsh
# where there is one.
# shellcheck disable=SC2016,SC2317
# shellcheck source=tests/faults/common.sh
. tests/faults/common.sh
mkdir bin && ln -s "$duet" bin/duet
PATH=$PWD/bin:$PATH
cat >two.yaml <<'YAML'
phases: [{kind: sft, name: warm}, {kind: grpo, name: learn}]
YAML

# tab LINE: the completions, one per line, as the shell would insert them; with the word breaks of
# bash
tab() {
    "${shell[@]}" -c '
        '"$prelude"'
        eval "$(duet completion '"${shell[0]}"')"
        COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$2
        COMP_WORDS=($1) COMPREPLY=()
        _duet
        for word in "${COMPREPLY[@]}"; do echo "$word."; done' tab "$1" "$breaks"
}
# offers LINE WORD...: these and no others
offers() {
    local line=$1
    shift
    tab "$line" >offered 2>err || { cat err; return 1; }
    equal "$(sort offered | tr '\n' ' ')" "$(printf '%s.\n' "$@" | sort | tr '\n' ' ')"
}
offers_nothing() { tab "$1" >offered && [ ! -s offered ]; }

in_shell() {
    check "$1: a command" offers "duet tr" "train "
    check "$1: the first letter of several" offers "duet s" "sample " "score " "settings "
    check "$1: help" offers "duet help ta" "tasks "
    check "$1: an option" offers "duet train x.yaml --re" "--resume "
    check "$1: by another path" offers "./bin/duet train x.yaml --re" "--resume "
    check "$1: options of another command" offers "duet bench pipeline --slo" "--slots "
    check "$1: a section" offers "duet train x.yaml --set reduction.b" "reduction.bucket_mib="
    check "$1: a setting of the top level" offers "duet train x.yaml --set prec" "precision="
    check "$1: phases by kind, where no recipe says names" offers "duet train x.yaml --set phases.ev" \
        phases.eval.{kind,name,prompts,samples,max_new,temperature,top_k,top_p,code_time,code_memory_mib,code_sandbox,environment,environment_turns,environment_stop,environment_wrap,environment_bytes}=
    check "$1: phases by the recipe's names" offers "duet train two.yaml --set phases.learn.clip" \
        phases.learn.clip_low= phases.learn.clip_high=
    check "$1: and no others" offers_nothing "duet train two.yaml --set phases.grpo"
    check "$1: nor what a kind does not use" offers_nothing "duet train two.yaml --set phases.warm.clip"
    check "$1: a setting to print" offers "duet settings two.yaml --get phases.warm.ba" "phases.warm.batch "
    check "$1: files where nothing is known" offers_nothing "duet train tw"
}

shell=(bash --norc) prelude='' breaks=$' \t\n"\047><=;|&(:'
in_shell bash
# bash replaces what follows the last `=`.
check "bash: a value" offers "duet train two.yaml --set precision=" "fp32 " "bf16 "
check "bash: a value begun" offers "duet train two.yaml --set model.tied=t" "true "
check "bash: of a phase" offers "duet train two.yaml --set phases.learn.aggregate=s" "sequence_mean " "sequence_sum "
check "bash: a number has none" offers_nothing "duet train two.yaml --set seed="
check "bash: --set=" offers "duet train two.yaml --set=prec" "precision="
check "bash: --set=NAME=" offers "duet train two.yaml --set=precision=f" "fp32 "
breaks=$' \t\n'
check "bash without = among the breaks" offers "duet train two.yaml --set precision=f" "precision=fp32 "
check "bash without = among the breaks, --set=" offers "duet train two.yaml --set=precision=f" "--set=precision=fp32 "

# Every command, option and setting of the program is in the script.
bash -c 'eval "$(duet completion bash)"; echo "$_duet_commands" | tr " " "\n"' | sed '/^$/d' >known
duet --help | sed -n '/^commands/,/^$/s/^  \([a-z]*\) .*/\1/p' >commands
check "all commands" diff commands known
while read -r command; do
    duet "$command" --help | sed -nE 's/^  (--[a-z-]+) .*/\1/p' >told
    bash -c 'eval "$(duet completion bash)"; printf "%s\n" $(_duet_options "$1")' - "$command" | sed '/^$/d' >known
    check "options of $command" diff told known
done <commands
duet settings two.yaml | grep -oE '^ *(- )?[a-z_0-9]+: ' | tr -d ' :-' | sort -u >told
bash -c 'eval "$(duet completion bash)"; printf "%s\n" $_duet_settings $(_duet_phase_settings sft) $(_duet_phase_settings grpo)' |
    sed 's/.*\.//' | sort -u >known
check "all settings" diff told known

check "bash is told what to call" equal "$(bash -c 'eval "$(duet completion bash)"; complete -p duet')" \
    "complete -o default -o nospace -F _duet duet"
duet completion fish >out 2>err
check "another shell is a mistake" equal $? 2 && check "that is said" has err "neither bash nor zsh"

command -v zsh >/dev/null || finish
shell=(zsh -f) prelude='emulate sh; setopt kshglob noshglob braceexpand nokshautoload; complete() { :; }; autoload() { :; }; bashcompinit() { :; }' breaks=
in_shell zsh
check "zsh: a value, with its name" offers "duet train two.yaml --set precision=f" "precision=fp32 "
finish
