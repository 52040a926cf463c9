#!/bin/bash
# test_environment.sh DUET: the variables DUET_*: a wrong value is refused with what is right, an unknown name warned of, and every one
# that the tree reads is in the table (launch/run/environment.sh) and on the page (launch/README.md).
# shellcheck source=tests/faults/common.sh
. "${BASH_SOURCE%/*}/common.sh"
run=$root/launch/run.sh
unset "${!SLURM_@}" "${!DUET_@}"

# refused NAME FILE-OF-WORDS...: exit 2, each of the words said, each mistake with what to do
refused() {
    local name=$1 text
    shift
    check "$name: exit 2" equal "$code" 2
    for text; do check "$name: says \"$text\"" has err "$text"; done
    check "$name: what to do" has err "  fix:  "
}
# --- the environment ---
environment() { call env "$1" "$run" -n 1 --dry-run true; }
for pair in 'DUET_KEEPALIVE=three one six' 'DUET_KEEPALIVE=3 1' 'DUET_KEEPALIVE=3,1,6' 'DUET_KEEPALIVE=3 1 1000' 'DUET_KEEPALIVE=-1' \
    'DUET_SSH=no-such-program -F x' 'DUET_SSH=ssh -F "my file"' 'DUET_INTERFACE=ib0 ib1' 'DUET_RAW=yes'; do
    environment "$pair"
    refused "$pair" "${pair%%=*}=\"${pair#*=}\" is not what it takes" "  fix:  ${pair%%=*} is "
done
for pair in 'DUET_KEEPALIVE=08 01 6' 'DUET_KEEPALIVE=0' 'DUET_KEEPALIVE=' 'DUET_RAW=1' 'DUET_INTERFACE=lo' 'DUET_ISA=plain'; do
    environment "$pair"
    check "$pair: taken" equal "$code $(<err)" "0 "
done
environment DUET_KEEPALIFE=0
check "unknown variable: goes on" equal "$code" 0
check "unknown variable: said" has err "nothing reads the variable DUET_KEEPALIFE; did you mean DUET_KEEPALIVE?"
for text in $(cd "$root" && grep -rhoE --include='*.[ch]' 'getenv\("DUET_[A-Z_0-9]+' comm model pipeline trainer tests | cut -d'"' -f2 | sort -u) \
    $(cd "$root" && grep -rhoE 'DUET_[A-Z_0-9]+' launch | sort -u | grep -v '_$'); do
    check "$text is in the table" grep -q "^$text; " "$root/launch/run/environment.sh"
    check "$text is documented" grep -qE "^\| \`$text[\`=]" "$root/launch/README.md"
done

finish
