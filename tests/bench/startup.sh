#!/bin/bash
# startup.sh PROGRAM [ROUNDS [RANKS...]]: how long a job takes from the start of its first process
# to its first step, by part, on 8, 16, 32 and 64 ranks of this machine (or those given). One line a
# number of ranks: the median of ROUNDS (3) rounds of each part of the log's line "started in", the
# slowest start, and the start without MPI's own share. Behind it, the time from calling
# launch/run.sh to the first step beside the floor: the time until a program that does nothing but
# begin MPI and make as many communicators (startup_mpi.c) says that all ranks are there, with MPI
# begun as PROGRAM begins it and as it comes.
# With OTHER=PROGRAM in the environment that program runs in turn with it, and the last columns
# compare the two. On a machine that does other work, too, only what ran in turn can be compared.
set -u
program=$1 rounds=${2:-3}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- 8 16 32 64
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cat >"$out/recipe.yaml" <<'END'
seed: 7
model: {layers: 4, hidden: 32, heads: 2, max_context: 128}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 512}
checkpoint: {every: 0}
phases: [{kind: sft, steps: 1, batch: 64}]
END

# time_until LINE RANKS LOG PROGRAM ARGUMENTS...: prints the seconds from here until a line begins
# with LINE
time_until() {
    local from=${EPOCHREALTIME/[.,]/} text='' first='' line=$1 ranks=$2 log=$3
    shift 3
    while IFS= read -r text; do
        echo "$text" >>"$log"
        case $text in "$line"*) first=${EPOCHREALTIME/[.,]/} ;; esac
    done < <(launch/run.sh -n "$ranks" "$@" </dev/null 2>&1)
    [ "$first" ] || { cat "$log" >&2; exit 1; }
    echo $((first - from)) | awk '{ printf "%.3f\n", $1 / 1e6 }'
}
# start PROGRAM RANKS LOG
start() {
    rm -rf "$out/run"
    time_until 'sft 1/1' "$2" "$3" "$1" train "$out/recipe.yaml" --set "mesh.dp=$2" --set "out=$out/run"
}
floor() { # RANKS [plain]
    time_until 'all are there' "$1" "$out/floor.log" "$out/floor" "${@:2}"
}
"${CC:-mpicc}" -O2 -I. tests/bench/startup_mpi.c build/release/libduet.a -lm -lxxhash -o "$out/floor" || exit 1
median() { sort -n "$1" | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

for ranks; do
    rm -f "$out"/*.times "$out"/log
    for ((i = 0; i < rounds; i++)); do
        start "$program" "$ranks" "$out/log" >>"$out/ours.times" || exit 1
        floor "$ranks" >>"$out/floor.times" || exit 1
        floor "$ranks" plain >>"$out/plain.times" || exit 1
        [ -z "${OTHER:-}" ] || start "$OTHER" "$ranks" "$out/other" >>"$out/other.times" || exit 1
    done
    sed -n 's/.*started in \([0-9.]*\) s: \(.*\)/all \1, \2/p' "$out/log" | awk -v ranks="$ranks" '
        { n = split($0, part, ", "); for (i = 1; i <= n; i++) { split(part[i], x, " "); name[i] = x[1]; t[i, NR] = x[2] } rounds = NR }
        function middle(i,   k, m, v, s) {
            for (k = 1; k <= rounds; k++) v[k] = t[i, k]
            for (k = 2; k <= rounds; k++) for (m = k; m > 1 && v[m] < v[m - 1]; m--) { s = v[m]; v[m] = v[m - 1]; v[m - 1] = s }
            return v[int((rounds + 1) / 2)]
        }
        END {
            printf "%d ranks:", ranks
            for (i = 1; i <= n; i++) printf " %s %.1f s", name[i], middle(i)
            for (k = 1; k <= rounds; k++) if (t[1, k] > slowest) slowest = t[1, k]
            printf "; slowest %.1f s; without MPI %.1f s", slowest, middle(1) - middle(2)
        }'
    printf '; to the first step %s s, MPI alone %s s (as it comes %s s)' "$(median "$out/ours.times")" \
        "$(median "$out/floor.times")" "$(median "$out/plain.times")"
    [ -z "${OTHER:-}" ] || printf ', the other program %s s (ratio %s)' "$(median "$out/other.times")" \
        "$(echo "$(median "$out/other.times") $(median "$out/ours.times")" | awk '{ printf "%.2f", $1 / $2 }')"
    echo
done
