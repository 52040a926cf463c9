#!/bin/bash
# test_folder.sh DUET: promise P9 for the run folder. A resume never starts from scratch over
# checkpoints, nor mistakes an error for absence; only one job at a time writes to it; files of
# others are never overwritten; a folder that is deleted or moved away is noticed; what cannot be
# removed only gives a warning; P8: every failed write is reported.
. "${BASH_SOURCE%/*}/common.sh"

awk 'BEGIN { for (a = 1; a < 9; a++) for (b = 1; b < 9; b++)
    printf "{\"prompt\": \"%d+%d\", \"answer\": \"%d\", \"demonstration\": \"%d+%d=%d\"}\n", a, b, a + b, a, b, a + b }' >all.jsonl
head -n 48 all.jsonl >p.jsonl
tail -n 16 all.jsonl >h.jsonl
cat >recipe.yaml <<'YAML'
precision: fp32
watchdog_s: 60
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
mesh: {decode_slots: 16}
data: {task: file, file: p.jsonl, heldout_file: h.jsonl, micro_batch_tokens: 128}
checkpoint: {every: 2, keep: 9}
phases:
  - {kind: sft, steps: 7, batch: 8, lr: 3e-3}
YAML
# alone FOLDER ARGUMENTS...: one rank without a launcher; in the background as `endless`, which runs
# until something is done to it
alone() { local out=$1; shift; call "$duet" train recipe.yaml --set "out=$out" "$@"; }
endless() {
    "$duet" train recipe.yaml --set "out=$1" --set phases.sft.steps=1000000 --set checkpoint.every=1000000 "${@:2}" >out 2>err </dev/null &
    job=$!
    check "$1: under way" until_true lines 5 "$1"
}
# ended_in NAME: the job ends by itself, with 1
ended_in() {
    check "$1: ended within 10 s" gone 10 "$job" || kill -KILL "$job"
    ended
    check "$1: exit 1" equal "$code" 1
}
steps() { values "$1/metrics.jsonl" step | paste -sd' '; }

# --- `latest` ---
alone whole
check "whole: exit 0" equal "$code" 0
check "whole: no lock is left" equal "$(cd whole && echo *)" "checkpoints metrics.jsonl recipe.yaml samples.jsonl"
cp -r whole cut # as if it had been killed after step 4
rm -r cut/checkpoints/step-0000000[67]
echo step-00000004 >cut/checkpoints/latest
fresh() { rm -rf run && cp -r "${1:-cut}" run; }
for what in gone empty elsewhere; do
    fresh
    case $what in
    gone) rm run/checkpoints/latest ;;
    empty) : >run/checkpoints/latest ;;
    elsewhere) echo step-00000099 >run/checkpoints/latest ;;
    esac
    alone run
    check "P9: latest $what: without --resume: exit 2" equal "$code" 2
    check "P9: latest $what: without --resume: reported" has err "run already holds a run: add --resume auto"
    alone run --resume auto
    check "P9: latest $what: exit 0" equal "$code" 0
    check "P9: latest $what: resumes from the newest" has err "resuming from run/checkpoints/step-00000004"
    check "P9: latest $what: same as the unbroken run" alike whole run
done
check "P9: latest elsewhere: reported" has err "latest names step-00000099, which does not exist; using the newest undamaged one before it"
fresh && rm run/checkpoints/latest && truncate -s -9 run/checkpoints/step-00000004/manifest.json
alone run --resume auto
check "P9: latest gone, newest damaged: warns" has err "has no file latest; using the newest undamaged checkpoint"
check "P9: latest gone, newest damaged: the one before" has err "resuming from run/checkpoints/step-00000002"
check "P9: latest gone, newest damaged: same as the unbroken run" equal "$(steps run)" "0 1 2 3 4 5 6"
fresh && rm -r run/checkpoints
alone run --resume auto
check "P9: no checkpoint where there were some: exit 2" equal "$code" 2
check "P9: no checkpoint where there were some: reported" has err "run/metrics.jsonl has steps after which checkpoints were saved, but there are none"
check "P9: no checkpoint where there were some: nothing cut" cmp run/metrics.jsonl whole/metrics.jsonl
fresh && rm -r run/checkpoints && head -n 2 whole/metrics.jsonl >run/metrics.jsonl
alone run --resume auto
check "killed before its first checkpoint: starts from scratch" equal "$code $(steps run)" "0 0 1 2 3 4 5 6"

# --- an error is not absence ---
# refused NAME WHY: `run` cannot be examined: exit 1, the reason, and nothing is truncated
refused() {
    cp run/metrics.jsonl before
    alone run --resume auto
    check "P9: $1: exit 1" equal "$code" 1
    check "P9: $1: why" has err "$2"
    check "P9: $1: nothing is cut" cmp run/metrics.jsonl before
}
fresh && mv run/checkpoints saved
ln -s checkpoints run/checkpoints
refused "checkpoints is a loop" "Too many levels of symbolic links"
rm run/checkpoints && ln -s /nowhere/at/all run/checkpoints
refused "checkpoints on a disk that is not mounted" "it is a dangling link"
check "P9: checkpoints elsewhere: what to do" has err "nothing was changed: check that the folder is yours and that its disk is mounted and healthy"
rm run/checkpoints && mv saved run/checkpoints
rm run/checkpoints/latest && ln -s latest run/checkpoints/latest
refused "latest is a loop" "Too many levels of symbolic links"
rm -r run/checkpoints && : >run/checkpoints
alone run --resume auto
check "P9: checkpoints is a file: exit 2" equal "$code" 2
check "P9: checkpoints is a file: reported" has err "run: checkpoints is not a folder"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then # the superuser may read everything
    chmod 755 "$dir" && cp "$duet" duet && fresh && chown -R 65534:65534 run && chmod 000 run/checkpoints
    cp run/metrics.jsonl before
    call setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$dir" "$dir/duet" train recipe.yaml --set out=run --resume auto
    check "P9: checkpoints of mode 000: exit 1" equal "$code" 1
    check "P9: checkpoints of mode 000: why" has err "Permission denied"
    check "P9: checkpoints of mode 000: nothing is cut" cmp run/metrics.jsonl before
    for file in manifest.json shard-0000-of-0001.h5; do # good, but not for this user: not damaged
        fresh && chown -R 65534:65534 run && chmod 000 run/checkpoints/step-00000004/$file
        call setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$dir" "$dir/duet" train recipe.yaml --set out=run --resume auto
        check "P9: $file of mode 000: exit 1" equal "$code" 1
        check "P9: $file of mode 000: why" has err "/$file: Permission denied"
        check "P9: $file of mode 000: nothing is cut" cmp run/metrics.jsonl before
        check "P9: $file of mode 000: the checkpoint stays" test -e run/checkpoints/step-00000004/$file
    done
fi

# --- two jobs ---
endless busy
name=$(cat busy/duet.lock)
mv err first
alone busy
check "P9: a second job: exit 2" equal "$code" 2
check "P9: a second job: names the first" has err "busy is in use: process $job on host $(hostname) has been writing to it since"
mkdir touched && : >touched/duet.lock
while touch touched/duet.lock; do sleep 0.2; done 2>/dev/null &
toucher=$!
alone touched
check "P9: a lock without a name that somebody touches: exit 2" equal "$code" 2
check "P9: a lock without a name that somebody touches: reported" has err "touched/duet.lock is empty, but another process keeps updating it"
kill "$toucher"
alone busy --resume auto
check "P9: a second that resumes: exit 2" equal "$code" 2
check "P9: a second that resumes: names the first" has err "process $job on host"
check "P9: the first goes on" kill -0 "$job"
kill -KILL "$job"
ended
check "P9: a killed job leaves its lock" equal "$(cat busy/duet.lock)" "$name"
since=$SECONDS
alone busy --resume auto --set phases.sft.steps=5 --set checkpoint.every=1000000
check "P9: a lock whose owner was killed: exit 0" equal "$code" 0
check "P9: a lock whose owner was killed: no wait" test $((SECONDS - since)) -le 8
check "P9: a lock whose owner was killed: reported" grep -q "the job that wrote to busy (process [0-9]* on host .*) has ended" err
# A lock of another host counts as alive while somebody touches it.
sed 's/"host": "[^"]*"/"host": "far-away"/; s/"boot": "./"boot": "x/' <<<"$name" >busy/duet.lock
alone busy --resume auto & far=$!
while kill -0 $far 2>/dev/null; do read -rt 0.3 _ <&"$never"; touch busy/duet.lock; done
wait $far
check "P9: a job of another host: its lock stays" has busy/duet.lock far-away
check "P9: a job of another host: is named" has err "on host far-away has been writing to it since"
echo mine >busy/duet.lock
echo theirs >busy/samples.jsonl
alone busy --resume auto
check "P9: somebody's duet.lock: exit 2" equal "$code" 2
for file in duet.lock samples.jsonl; do check "P9: somebody's duet.lock: $file named" has err "busy/$file: no run of duet wrote it"; done
check "P9: somebody's duet.lock: stays" equal "$(cat busy/duet.lock)" mine
# Started at the same time in a folder that does not exist: one of them runs. All have looked into
# it before any opens its data and continues.
cat >gate.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void gate(const char *path)
{
    char ready[32];
    if (strcmp(path, "p.jsonl") != 0) return;
    snprintf(ready, sizeof ready, "ready-%d", (int)getpid());
    close(creat(ready, 0666));
    while (access("go", F_OK) != 0) usleep(1000);
}
int open(const char *path, int flags, ...)
{
    gate(path);
    return ((int (*)(const char *, int, int))dlsym(RTLD_NEXT, "open"))(path, flags, 0600);
}
int __open_2(const char *path, int flags) { return open(path, flags); } /* what a fortified program calls */
C
gcc -shared -fPIC -O1 gate.c -o gate.so -ldl || { echo "cannot build the gate"; exit 1; }
for i in 1 2 3; do LD_PRELOAD=$PWD/gate.so "$duet" train recipe.yaml --set out=race >/dev/null 2>race-$i & racer[i]=$!; done
job=${racer[1]}
all_ready() { [ "$(compgen -G 'ready-*' | wc -l)" -eq 3 ]; }
check "P9: three at once: all wait for their data" until_true all_ready
touch go
job=''
codes=()
for i in 1 2 3; do wait "${racer[i]}"; codes+=($?); done
check "P9: three at once: one trains, two are refused" equal "$(printf '%s\n' "${codes[@]}" | sort | paste -sd' ')" "0 2 2"
check "P9: three at once: each of the others is told" equal "$(grep -lE 'race is in use: process|another job has started a run in race' race-? | wc -l)" 2
check "P9: three at once: one run" equal "$(steps race)" "0 1 2 3 4 5 6"

# --- somebody else's files ---
mkdir theirs
cp recipe.yaml theirs/recipe.yaml
echo '{"my": "sample"}' >theirs/samples.jsonl
echo 'step,loss' >theirs/metrics.jsonl
echo 'words' >theirs/data.index
mkdir theirs/trace.svg
cp -r theirs kept
alone theirs --set trace=2
check "P9: files of others: exit 2" equal "$code" 2
for file in recipe.yaml samples.jsonl metrics.jsonl data.index trace.svg; do
    check "P9: their $file: named" has err "theirs/$file: no run of duet wrote it, and a run in this folder would overwrite it"
done
check "P9: files of others: untouched, nothing added" diff -r theirs kept
rm -r theirs/recipe.yaml theirs/metrics.jsonl theirs/data.index theirs/trace.svg && rm -r kept && cp -r theirs kept
alone theirs
check "P9: their samples alone: exit 2" equal "$code" 2
check "P9: their samples alone: untouched" diff -r theirs kept
rm theirs/*.jsonl && cp whole/recipe.yaml theirs/recipe.yaml && cp -r theirs theirs2
alone theirs
check "P9: a copy of a run's recipe: exit 2" equal "$code" 2
check "P9: a copy of a run's recipe: reported" has err "theirs: holds a recipe.yaml but no run of duet"
check "P9: a copy of a run's recipe: untouched" diff -r theirs theirs2
mkdir inside && cp ./*.jsonl recipe.yaml inside && cp -r inside inside2
call env -C inside "$duet" train recipe.yaml --set out=.
check "P9: out: . beside the recipe: exit 2" equal "$code" 2
check "P9: out: . beside the recipe: untouched" diff -r inside inside2
alone p.jsonl
check "P9: out is a file: exit 2" equal "$code" 2
check "P9: out is a file: reported" has err "p.jsonl: is not a folder; choose another run folder"
fresh && sed -i 1d run/recipe.yaml # as runs before the mark have it
alone run --resume auto
check "P9: a run without the mark goes on" equal "$code" 0

# --- during the run ---
endless hurt && rm -rf hurt
ended_in "P9: deleted"
check "P9: deleted: reported" has err "hurt/metrics.jsonl is gone: it or the run folder was deleted or renamed while the run was writing to it"
check "P9: deleted: does not come back" test ! -e hurt
endless hurt && mv hurt moved
ended_in "P9: renamed"
check "P9: renamed: says where it is" has err "(it is now $dir/moved/metrics.jsonl)"
check "P9: renamed: no second folder" test ! -e hurt
endless hurt --set checkpoint.every=300 && until_true test -e hurt/checkpoints/latest && mv hurt/checkpoints hurt/away
ended_in "P9: checkpoints renamed"
check "P9: checkpoints renamed: reported" has err "it was removed or renamed while the run was writing to it"
rm -r hurt
# Atomically (renameat2, RENAME_EXCHANGE), as when a save comes between a rename and the next check.
exchange() { python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2) != 0)' "$@"; }
endless hurt --set checkpoint.every=300 && mkdir hurt/away && until_true test -e hurt/checkpoints/latest
check "checkpoints replaced" exchange hurt/checkpoints hurt/away
ended_in "P9: checkpoints replaced"
check "P9: checkpoints replaced: reported" has err "it was removed or renamed while the run was writing to it"
rm -r hurt
endless hurt && rm hurt/samples.jsonl
ended_in "P9: samples.jsonl deleted"
rm -r hurt
endless hurt && cp hurt/metrics.jsonl other && mv other hurt/metrics.jsonl
ended_in "P9: metrics.jsonl replaced"
check "P9: metrics.jsonl replaced: reported" has err "hurt/metrics.jsonl is not the file that the run was writing to"

# --- what cannot be removed ---
fresh && mkdir run/checkpoints/step-00000002/notes
alone run --resume auto --set checkpoint.keep=1
check "P9: notes in an old checkpoint: exit 0" equal "$code" 0
check "P9: notes in an old checkpoint: reported once" times 1 err "cannot be removed ("
check "P9: notes in an old checkpoint: what to do" has err "); training continues. Check what is in it, then remove it: rm -r 'run/checkpoints/step-00000002.partial'"
check "P9: notes in an old checkpoint: they stay" test -d run/checkpoints/step-00000002.partial/notes
check "P9: notes in an old checkpoint: others go" test ! -e run/checkpoints/step-00000004
fresh && echo file >run/checkpoints/step-00000006
alone run --resume auto
check "P9: a file named as a checkpoint: exit 0" equal "$code" 0
check "P9: a file named as a checkpoint: kept under another name" equal "$(cat run/checkpoints/step-00000006.left-1)" file
check "P9: a file named as a checkpoint: reported" has err "was in the way of a checkpoint and is now run/checkpoints/step-00000006.left-1"
fresh && mkdir -p run/checkpoints/step-00000006.partial/notes && echo file >run/checkpoints/step-00000007.partial
alone run --resume auto
check "P9: in the way of what is written: exit 0" equal "$code" 0
check "P9: in the way of what is written: kept" test -d run/checkpoints/step-00000006.partial.left-1/notes -a -f run/checkpoints/step-00000007.partial.left-1
check "P9: in the way of what is written: same as the unbroken run" alike whole run

# --- sites ---
sites=(--set mesh.sites=2 --set mesh.dp=1 --set sites.every=3)
train 2 pair "${sites[@]}"
check "sites: exit 0" equal "$code" 0
back_to 4 pair/site-1 pair/site-2
rm pair/site-2/checkpoints/latest
train 2 pair --resume auto "${sites[@]}"
check "P9: sites: latest of one gone: exit 0" equal "$code" 0
check "P9: sites: latest of one gone: resumes from the newest" has err "resuming from pair/site-1/checkpoints/step-00000004"
check "P9: sites: latest of one gone: every step once" equal "$(steps pair/site-2)" "0 1 2 3 4 5 6"
rm -r pair/site-2/checkpoints && ln -s checkpoints pair/site-2/checkpoints
cp pair/site-1/metrics.jsonl before
train 2 pair --resume auto "${sites[@]}"
check "P9: sites: checkpoints of one is a loop: exit 1" equal "$code" 1
check "P9: sites: checkpoints of one is a loop: nothing is cut" cmp pair/site-1/metrics.jsonl before
start 2 pair3 "${sites[@]}" --set phases.sft.steps=1000000 --set checkpoint.every=500
check "sites: under way" until_true lines 5 pair3/site-2
cp err first
alone pair3
check "P9: sites: a second job: exit 2" equal "$code" 2
check "P9: sites: one lock for all" has err "pair3 is in use: process"
mv pair3/site-2 away
ended_in "P9: sites: the second's folder is moved"
rm pair/site-2/checkpoints
echo theirs >pair/site-1/samples.jsonl
train 2 pair --resume auto "${sites[@]}"
check "P9: sites: their file in a site's folder: named" has err "pair/site-1/samples.jsonl: no run of duet wrote it"

# --- a failed write is reported ---
full() { "$duet" "$@" >/dev/full 2>err </dev/null; code=$?; }
heard() {
    full "$@"
    check "P8: $1 to a full disk: exit 1" equal "$code" 1
    check "P8: $1 to a full disk: what" has err "what: writing to standard output"
    check "P8: $1 to a full disk: why" has err "the results are incomplete: No space left on device"
}
printf 'phases:\n' >many.yaml
for i in {1..40}; do echo "  - {kind: sft, name: p$i}"; done >>many.yaml
heard settings many.yaml
heard settings recipe.yaml --get out
heard eval whole --prompts 4 --samples 1
heard inspect whole
heard plan recipe.yaml
heard plan --stages 4 --micro-batches 8
heard sample whole 1+1
heard help settings
heard train --help
heard --version
echo '{"prompt_ids": [1, 2], "answer_ids": [3, 4]}' >ids.jsonl
heard score whole ids.jsonl
"$duet" --version >&- 2>err
check "P8: no standard output at all: exit 1" equal $? 1
"$duet" train recipe.yaml --set out=closed <&- >&- 2>&- # (results: none; without descriptors of their own they would be a file of the run)
check "closed streams: exit 0" equal $? 0
check "closed streams: no log in the run's files" equal "$(steps closed)" "0 1 2 3 4 5 6"
check "closed streams: same as the unbroken run" alike whole closed
for how in dies ignores; do # what a broken pipe does to a process: it ends, or SIGPIPE is ignored and writing fails
    {
        [ $how = dies ] || trap '' PIPE
        read -rt 0.5 _ <&"$never"
        "$duet" help settings 2>err
        echo $? >code
    } | true
    check "P8: the reader is gone ($how): not 0" test "$(cat code)" -ne 0
    check "P8: the reader is gone ($how): no word" equal "$(cat err)" ""
done
finish
