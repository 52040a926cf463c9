#!/bin/bash
# test_relay.sh DUET: P9, P8: the reader of the output exits, the disk under it is full, mpirun
# itself or launch/run.sh is signalled or killed: the job saves and stops where possible, the last
# message is ours, and the next start removes what killed ones left. Exactly the documented noise of
# mpirun's own output is dropped.
# shellcheck source=tests/faults/common.sh disable=SC2317
. "${BASH_SOURCE%/*}/common.sh"
run=$root/launch/run.sh
unset "${!DUET_@}"
mkdir tmp
export TMPDIR=$dir/tmp # our folders and mpirun's alone

# begin FOLDER: starts a long run in the background and waits for its steps
begin() {
    rm -rf "$1"
    start 2 "$1" --set mesh.dp=1 --set phases.start.steps=100000 --set checkpoint.every=1000
    check "$1: under way" until_true lines 5 "$1"
}
saved() { # FOLDER: all its steps
    equal "$(cat "$1/checkpoints/latest")" "step-$(printf %08d "$(wc -l <"$1/metrics.jsonl")")"
}
segments() { # of the job under way
    local uri
    uri=$(cat tmp/duet-run.*/uri)
    compgen -G "/dev/shm/vader_segment.*.$(printf %x $((${uri%%.*} + 1))).*"
}
nothing_left() { equal "$(cd tmp && echo duet-run.* ompi.*/pid.*)" "duet-run.* ompi.*/pid.*"; }

# --- the reader exits ---
{ "$run" -n 2 --timeout 60 "$duet" train recipe.yaml --set out=read --set mesh.dp=1 --set phases.start.steps=100000 2>&1
    echo $? >code; } | head -n 1 >out
code=$(<code)
check "a reader that goes: exit 85" equal "$code" 85
check "a reader that goes: saved" saved read
check "a reader that goes: it had its line" equal "$(wc -l <out)" 1
call timeout 20 bash -c "\"$run\" -n 1 yes 2>err | head -n 1; exit \${PIPESTATUS[0]}"
check "who does not listen: exit 141" equal "$code" 141
check "who does not listen: why" has err "what read its standard output has ended (head, a terminal that was closed)"
"$run" -n 1 echo text >/dev/full 2>err
check "a full disk: exit 1" equal $? 1
check "a full disk: reported" has err "its standard output cannot be written: No space left on device"
"$run" -n 1 echo text <&- >&- 2>err
check "closed from the start: exit 0" equal $? 0

# --- mpirun is told to end ---
for signal in TERM INT HUP; do
    begin told
    kill -$signal "$(launcher)"
    ended
    check "mpirun, SIG$signal: exit 85" equal "$code" 85
    check "mpirun, SIG$signal: saved" saved told
    check "mpirun, SIG$signal: reported" has err "mpirun was told to end (a signal to process "
    check "mpirun, SIG$signal: the last word" has <(tail -n 1 err) "launch/run.sh: stopped on request, checkpoint saved"
done
begin hit
check "mpirun killed: its ranks share memory" segments
pieces=$(segments)
kill -KILL "$(launcher)"
ended
check "mpirun killed: exit 137" equal "$code" 137
check "mpirun killed: reported" has err "mpirun on $(hostname) was ended by signal 9"
check "mpirun killed: no word of our shell's" hasnt err "run.sh: line"
check "mpirun killed: no memory is left" equal "$(ls $pieces 2>/dev/null)" ""
check "mpirun killed: no folder is left" nothing_left

# --- run.sh is killed ---
begin alone
ready
kill -KILL "$job"
{ ended; } 2>/dev/null
check "run.sh killed: the job ends" gone 20 "${pids[@]}"
check "run.sh killed: saved" saved alone
check "run.sh killed: its folder is there" compgen -G "tmp/duet-run.*"
begin both
ready
pieces=$(segments)
mkdir tmp/duet-run.foreig tmp/duet-run.living
echo "$HOSTNAME $(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/pid) $$ $(cut -d' ' -f22 /proc/$$/stat)" >tmp/duet-run.living/owner
kill -KILL "$job" "${pids[@]}"
{ ended; } 2>/dev/null
check "all killed: memory is left" test -e "${pieces%%$'\n'*}"
mkdir tmp/duet-run.marked
echo "$HOSTNAME $(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/pid) 1 1" >tmp/duet-run.marked/owner # (process 1 began at another time)
echo "$dir/.preflight-1-1" | tee tmp/duet-run.marked/mark >.preflight-1-1
"$run" -n 1 true
check "the next start: preflight's file is gone" test ! -e .preflight-1-1
check "the next start: no memory is left" equal "$(ls $pieces 2>/dev/null)" ""
check "the next start: what lives or is not ours stays" equal "$(cd tmp && echo duet-run.*)" "duet-run.foreig duet-run.living"
rmdir tmp/duet-run.foreig && rm -r tmp/duet-run.living
check "the next start: mpirun's folder is gone, too" nothing_left

# --- blame: a killed rank is never mistaken for mpirun ---
for _ in 1 2 3 4; do
    call "$run" -n 2 sh -c 'kill -KILL $$'
    check "killed at once: exit 137" equal "$code" 137
    check "killed at once: a rank" grep -qE '^(rank [01] on .*: ended by signal 9|a rank was ended by signal 9)' err
    check "killed at once: not mpirun" hasnt err "mpirun on"
done

call env TMPDIR=/dev/null/such "$run" -n 1 true
check "no TMPDIR: exit 1" equal "$code" 1
check "no TMPDIR: reported" has err "cannot make a folder for temporary files in /dev/null/such"

# --- noise: a program of mpirun's name that says what Open MPI says ---
mkdir bin
cat >bin/mpirun <<'EOF'
#!/bin/bash
dashes=--------------------------------------------------------------------------
exec >&2
echo "[h1:42] [[1,0],0] ORTE_ERROR_LOG: Unreachable in file base/plm.c at line 123"
echo "[h2:43] Read -1, expected 4096, errno = 14"
echo "[warn] Epoll MOD(1) on fd 25 failed.  Old events were 6; read change was 0 (none): Bad file descriptor"
echo "rank 1/2 on h2, file.c:1, while reading ORTE_ERROR_LOG"
echo "  what: Read -1, expected an answer"
printf '%s' "sft 3/60  loss 1.5"
printf '%s\n' $dashes
echo "mpirun noticed that process rank 1 with PID 0 on node h2 exited on signal 9 (Killed)."
echo $dashes
exit 137
EOF
chmod +x bin/mpirun
call env "PATH=$PWD/bin:$PATH" "$run" -n 2 true
check "noise: exit 137" equal "$code" 137
check "noise: only what is ours is left" equal "$(head -n 4 err)" "rank 1/2 on h2, file.c:1, while reading ORTE_ERROR_LOG
  what: Read -1, expected an answer
sft 3/60  loss 1.5
rank 1 on h2: ended by signal 9 (Killed)"
check "noise: nobody else is blamed" hasnt err "mpirun"
call env DUET_RAW=1 "PATH=$PWD/bin:$PATH" "$run" -n 2 true
for text in "ORTE_ERROR_LOG: Unreachable" "Read -1, expected 4096" "Epoll MOD" "mpirun noticed that process rank 1" "rank 1 on h2: ended by signal 9"; do
    check "DUET_RAW=1: $text" times 1 err "$text"
done
for text in "rank 3/4 on h2, comm/base/arena.c:72" "rank 0/1 on h2, f.c:1, while reading" "a rank on h2: a file has reached the limit of this process"; do
    printf '#!/bin/sh\necho "%s" >&2\nexit 1\n' "$text" >bin/mpirun
    call env "PATH=$PWD/bin:$PATH" "$run" -n 2 true
    check "a rank speaks, mpirun does not: only the rank" equal "$(<err)" "$text"
done
printf '#!/bin/sh\nexit 1\n' >bin/mpirun
call env "PATH=$PWD/bin:$PATH" "$run" -n 2 true
check "mpirun ends without a word: ours" has err "mpirun on $(hostname) ended the job, and no rank reported why"
finish
