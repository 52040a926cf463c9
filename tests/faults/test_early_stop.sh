#!/bin/bash
# test_early_stop.sh DUET: a request to stop that comes while the job starts is kept until the ranks listen: at any moment it ends with
# 85, and with nothing lost. Also what a rank says of SIGHUP and of a file that is larger than it may be.
. "${BASH_SOURCE%/*}/common.sh"
long=(--set phases.start.steps=100000 --set phases.start.lr=1e-3)

# Before run.sh has begun anything a signal just ends it; from then on it is kept.
stopped() { [ "$code" -eq 85 ] || { [ "$code" -gt 128 ] && [ ! -e early ]; } || { echo "exit $code"; return 1; }; }
heard=0
for ms in 50 100 150 200 250 300 350 400 500 600; do
    signal=TERM
    [ $((ms % 20)) -eq 0 ] || signal=INT
    rm -rf early
    "$root/launch/run.sh" -n 2 --timeout 30 "$duet" train recipe.yaml --set out=early --set mesh.dp=1 "${long[@]}" >out 2>err </dev/null &
    job=$!
    until grep -q run.sh "/proc/$job/cmdline" 2>/dev/null; do :; done # no longer the shell that starts it
    read -rt "$(printf 0.%03d $ms)" _ <&"$never"
    [ $signal = TERM ] || signal=HUP # a background job of a shell without job control ignores SIGINT
    kill -$signal "$job"
    ended
    check "$signal after $ms ms: ends with 85" stopped
    check "$signal after $ms ms: no crash" hasnt err "a crash"
    [ "$code" -ne 85 ] || heard=$((heard + 1))
done
check "most were heard by the job" test "${heard:-0}" -ge 3

# --- a rank that loses its terminal ---
start 2 hangup --set mesh.dp=1 "${long[@]}"
ready
check "hang-up: under way" until_true lines 3 hangup
kill -HUP "${pids[1]}"
ended
check "hang-up: exit 85" equal "$code" 85

# --- Ctrl-C without launch/run.sh ---
"$duet" train recipe.yaml --set out=bare --set mesh.dp=1 --set mesh.pp=1 "${long[@]}" >out 2>err </dev/null &
job=$!
check "Ctrl-C: under way" until_true lines 3 bare
kill -INT "$job"
ended
check "Ctrl-C on a bare duet train: exit 85" equal "$code" 85
check "Ctrl-C on a bare duet train: saved" test -e bare/checkpoints/latest

# --- a limit of file sizes ---
# shellcheck disable=SC2016  # for the rank's shell
printf '%s\n' '#!/bin/bash' 'ulimit -f 16384; exec "$UNDER_TEST" "$@"' >limited.sh
chmod +x limited.sh
UNDER_TEST=$duet call "$root/launch/run.sh" -n 2 --timeout 60 ./limited.sh train recipe.yaml --set out=limited --set mesh.dp=2 --set mesh.pp=1 \
    --set model.hidden=320 --set phases.start.steps=1
check "ulimit -f: exit 1" equal "$code" 1
check "P8: ulimit -f: both ranks reach it, one says so" times 1 err "a file has reached the limit of this process"
check "ulimit -f: names the limit" has err "no file may be larger than 16384 KiB (ulimit -f)"
check "ulimit -f: no crash" hasnt err "a crash"
finish
