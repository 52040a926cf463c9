#!/bin/bash
# test_environment.sh DUET: the variables DUET_*: a wrong value is rejected with what is valid, an
# unknown name gets a warning, and every variable that the tree reads is in the tables
# (launch/run/environment.sh, comm/base/environment.c) and on the page (launch/README.md).
# shellcheck source=tests/faults/common.sh
. "${BASH_SOURCE%/*}/common.sh"
run=$root/launch/run.sh
unset "${!SLURM_@}" "${!DUET_@}"

# --- the environment ---
environment() { call env "$1" "$run" -n 1 --dry-run true; }
for pair in 'DUET_KEEPALIVE=three one six' 'DUET_KEEPALIVE=3 1' 'DUET_KEEPALIVE=3,1,6' 'DUET_KEEPALIVE=3 1 1000' 'DUET_KEEPALIVE=-1' \
    'DUET_SSH=no-such-program -F x' 'DUET_SSH=ssh -F "my file"' 'DUET_INTERFACE=ib0 ib1' 'DUET_RAW=yes'; do
    environment "$pair"
    mistake "$pair" "${pair%%=*}=\"${pair#*=}\" is not valid" "  fix:  set ${pair%%=*} to "
done
for pair in 'DUET_KEEPALIVE=08 01 6' 'DUET_KEEPALIVE=0' 'DUET_KEEPALIVE=' 'DUET_RAW=1' 'DUET_INTERFACE=lo' 'DUET_ISA=plain'; do
    environment "$pair"
    check "$pair: taken" equal "$code $(<err)" "0 "
done
environment DUET_KEEPALIFE=0
check "unknown variable: goes on" equal "$code" 0
check "unknown variable: reported" has err "unknown environment variable DUET_KEEPALIFE; did you mean DUET_KEEPALIVE?"
for text in $(cd "$root" && grep -rhoE --include='*.[ch]' '(getenv|environment_[a-z]+)\("DUET_[A-Z_0-9]+' comm model pipeline trainer tests | cut -d'"' -f2 | sort -u) \
    $(cd "$root" && grep -rhoE --exclude='*.c' 'DUET_[A-Z_0-9]+' launch | sort -u | grep -v '_$'); do
    check "$text is in the table of the scripts" grep -q "^$text; " "$root/launch/run/environment.sh"
    check "$text is in the program's table" grep -q "{\"$text\", " "$root/comm/base/environment.c"
    check "$text is documented" grep -qE "^\| \`$text[\`=]" "$root/launch/README.md"
done
check "P8: no way around the table" hasnt <(cd "$root" && grep -rn --include='*.[ch]' 'getenv("DUET_' comm model pipeline trainer) getenv

# --- what the program itself reads ---
cat >one.yaml <<'YAML'
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 128}
phases: [{kind: sft, steps: 2, batch: 4}]
YAML
call "$duet" help environment
check "help: exit 0" equal "$code" 0
while IFS=';' read -r name _; do check "help has $name" has out "  $name="; done < <(sed -n '/^duet_variables=/,/^.$/s/^\(DUET_[A-Z_]*\);.*/\1/p' "$root/launch/run/environment.sh")
call "$duet" help enviroment
check "help: a topic's name" has err "did you mean environment?"
call "$duet" environment
check "a topic is no command" equal "$code $(head -1 err)" "2 unknown command environment"
words='set it to one of plain|base|avx2|avx512|amx, or leave it unset' whole='set it to a whole number from 1 to'
while read -r pair right; do
    call env "$pair" "$duet" settings one.yaml
    check "P8: $pair: exit 2" equal "$code" 2
    check "P8: $pair: what is right" times 1 err "${pair%%=*}=\"${pair#*=}\" is not valid: $right"
done <<LIST
DUET_ISA=sse9 $words
DUET_ISA=AVX2 $words
DUET_ISA=avx $words
DUET_BF16=wide set it to one of native|widen, or leave it unset
DUET_PACE_US=-1 set it to a number from 0 to 1000000
DUET_PACE_US=nan set it to a number from 0 to 1000000
DUET_PACE_US=3ms set it to a number from 0 to 1000000
DUET_PACE_US=1e300 set it to a number from 0 to 1000000
DUET_RANKS_PER_NODE=0 $whole 1048576
DUET_RANKS_PER_NODE=2.5 $whole 1048576
DUET_RANKS_PER_NODE=0x2 $whole 1048576
DUET_RANKS_PER_NODE=99999999999 $whole 1048576
DUET_TERMINAL=wide $whole 65535
DUET_TEST_STEPS=many $whole 1000000
LIST
for pair in DUET_ISA=base DUET_BF16=widen DUET_PACE_US=1.5e3 DUET_RANKS_PER_NODE=2 DUET_TERMINAL=80 DUET_ISA= DUET_PACE_US= DUET_RAW=yes; do
    call env "$pair" "$duet" settings one.yaml
    check "$pair: taken" equal "$code $(<err)" "0 "
done
call env DUET_ISSA=base DUET_SOMETHING_ELSE=1 "$duet" settings one.yaml
check "unknown: goes on" equal "$code" 0
check "unknown: the nearest" has err "duet: warning: unknown environment variable DUET_ISSA; did you mean DUET_ISA?"
check "unknown: without one" grep -qx 'duet: warning: unknown environment variable DUET_SOMETHING_ELSE' err
recipe=one.yaml
DUET_ISA=sse9 DUET_TERMINAL=no train 4 run
check "P8: four ranks: exit 2" equal "$code" 2
check "P8: four ranks: reported once" times 1 err 'DUET_ISA="sse9" is not valid'
check "P8: four ranks: all at once" has err 'DUET_TERMINAL="no" is not valid'
check "P8: four ranks: nothing begun" test ! -e run
# shellcheck disable=SC2016  # for the rank's shell
printf '%s\n' '#!/bin/bash' '[ "$OMPI_COMM_WORLD_RANK" = 1 ] && export DUET_RANKS_PER_NODE=no' 'exec "$UNDER_TEST" "$@"' >rank.sh
chmod +x rank.sh
UNDER_TEST=$duet call "$root/launch/run.sh" -n 2 --timeout 60 ./rank.sh train one.yaml --set out=run
check "P8: on one rank only: exit 2" equal "$code" 2
check "P8: on one rank only: which" times 1 err "rank 1 on $(hostname): DUET_RANKS_PER_NODE=\"no\" is not valid"

# --- an MPI with fewer tags than it must have ---
cat >tags.c <<'C'
#include <mpi.h>
static int most = 32766;
int MPI_Comm_get_attr(MPI_Comm comm, int key, void *value, int *there)
{
    int rc = PMPI_Comm_get_attr(comm, key, value, there);
    if (key == MPI_TAG_UB) *(int **)value = &most;
    return rc;
}
C
mpicc -shared -fPIC tags.c -o tags.so || { echo "cannot build the tags"; exit 1; }
# shellcheck disable=SC2016  # for the rank's shell
printf '%s\n' '#!/bin/bash' 'LD_PRELOAD=$TAGS exec "$UNDER_TEST" "$@"' >few-tags.sh
chmod +x few-tags.sh
TAGS=$PWD/tags.so UNDER_TEST=$duet call "$root/launch/run.sh" -n 2 --timeout 60 ./few-tags.sh train one.yaml --set out=run
check "tags: exit 1" equal "$code" 1
check "tags: how many, reported once" times 1 err 'this MPI allows tags of messages up to 32766 only'
check "tags: what to do" has err '(MPI_TAG_UB), Duet needs 32767: choose another of its transports'

finish
