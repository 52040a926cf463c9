#!/bin/bash
# test_install.sh DUET: make install: the program and the launch scripts find each other, their
# recipes and hostfiles from any folder; DESTDIR stages the same files; make uninstall removes them
# all.
. "${BASH_SOURCE%/*}/common.sh"
prefix=$dir/opt/duet
install() { PREFIX=$prefix "$root/launch/install.sh" "$duet" "$@"; } # what the Makefile's targets run, with the program under test
call install
check "install: exit 0" equal "$code" 0
check "install: says where" has out "installed $prefix/bin/duet"
check "the Makefile's target runs it" grep -q 'launch/install.sh $(BIN)$' "$root/Makefile"
export PATH=$prefix/bin:$PATH
mkdir elsewhere && cd elsewhere || exit 1
recipes=$prefix/share/duet/launch/recipes

call duet-run -n 2 duet train "$recipes/arithmetic.yaml" --set mesh.dp=1 --set model.hidden=32 --set model.heads=2 --set phases.cold_start.steps=2 \
    --set phases.cold_start.warmup=0 --set phases.before.prompts=2 --set phases.grpo.steps=1 --set phases.grpo.warmup=0 --set phases.after.prompts=2
check "duet-run: exit 0" equal "$code" 0
check "duet-run: the run folder is here" test -e runs/arithmetic/checkpoints/latest
call duet inspect runs/arithmetic
check "duet: on the path" equal "$code" 0
call duet plan "$recipes/countdown.yaml" --cluster "$prefix/share/duet/launch/clusters/laptop.yaml"
check "clusters are there" equal "$code" 0
call duet-run -n 4 --hostfile "$prefix/share/duet/hostfiles/localhost" --dry-run duet train "$recipes/countdown.yaml"
check "hostfiles are there" equal "$code" 0
if command -v sbatch >/dev/null; then
    call duet-submit "$recipes/countdown.yaml" --nodes 2 --dry-run
    check "duet-submit: exit 0" equal "$code" 0
    check "duet-submit: the installed program" has out "--program $prefix/bin/duet"
    check "duet-submit: the installed scripts" has out "--home $prefix/share/duet"
fi
call duet-preflight --help
check "duet-preflight: its help" has err "usage: launch/preflight.sh"
cc -shared -fPIC -I "$prefix/include" -o grader.so "$prefix/share/duet/launch/graders/grader.c"
echo '{"id": "1", "answer": "<answer>7</answer>", "expected": "7"}' >line
duet grader grader.so <line >out
check "a grader is compiled with the installed header" equal "$(cat out)" '{"id":"1","reward":1}'
check "documents" test -e "$prefix/share/doc/duet/docs/TUTORIAL.md"
cd .. || exit 1

files() { (cd "$1" && find . -type f | sort); }
DESTDIR=$dir/stage call install
check "DESTDIR: the same files" equal "$(files "stage$prefix")" "$(files "$prefix")"
check "DESTDIR: scripts name the place without it" has "stage$prefix/bin/duet-run" "exec $prefix/share/duet/launch/run.sh"
echo mine >"$prefix/bin/mine"
call install --uninstall
check "uninstall: only what is not ours is left" equal "$(files "$prefix")" ./bin/mine
PREFIX=relative call "$root/launch/install.sh" "$duet"
check "a relative PREFIX: exit 2" equal "$code" 2
finish
