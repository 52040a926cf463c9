# shellcheck shell=bash disable=SC2034 # what recipe_facts sets
# job.sh: shared by launch/submit.sh and launch/slurm/train.sbatch: where a run writes, how long
# stopping it takes, how its jobs ended. Sourced, from the repository's root.
#
# Lines of RUN/jobs.log: "start JOB RESTART TIME [new]", "stop JOB SECONDS" (from the request to the
# end), "end JOB CODE TIME young|old".

# recipe_facts PROGRAM RECIPE ARGUMENTS...: how duet train resolves a recipe and the --set among its
# arguments. The program itself is asked, since only it parses YAML. Sets out: the run folder; each:
# ranks of one pipeline of every site; needs: ranks of the mesh, or nothing when dp is open. Fails
# with the program's exit code and messages.
recipe_facts() {
    local program=$1 recipe=$2 sets=() text dp pp tp sites
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        --set) sets+=(--set "${2:-}"); [ $# -lt 2 ] || shift ;;
        --set=*) sets+=("$1") ;;
        esac
        shift
    done
    text=$("$program" settings "${sets[@]}" --get mesh.dp --get mesh.pp --get mesh.tp --get mesh.sites --get out -- "$recipe") || return
    { read -r dp; read -r pp; read -r tp; read -r sites; IFS= read -r out; } <<<"$text"
    each=$((pp * tp * sites)) needs=''
    [ "$dp" -eq 0 ] || needs=$((dp * each))
}

# stop_seconds OUT: the longest that stopping takes, as measured: the last stop, or the longest
# recent step (it is finished first) plus the longest recent save. Prints nothing when nothing was
# measured.
stop_seconds() {
    {
        sed -n 's/^stop [0-9]* //p' "$1/jobs.log" 2>/dev/null | tail -n 1
        tail -q -n 2000 "$1"/metrics.jsonl "$1"/site-*/metrics.jsonl 2>/dev/null |
            grep -oE '"time/(step|save)": *[0-9.e+-]+' |
            awk -F '["/: ]+' '$4 > most[$3] { most[$3] = $4 } END { if (most["save"] > 0) print most["step"] + most["save"] }'
    } | sort -g | tail -n 1
}

# warning_seconds OUT MARGIN LIMIT: seconds before its limit at which a job must be asked to stop;
# LIMIT in seconds, 0: none.
# Without measurements: five minutes, or a quarter of a short limit. Never more than half of the
# limit: a job must make progress. Slurm's own warning comes up to a minute early, never late.
warning_seconds() {
    local took
    took=$(stop_seconds "$1")
    awk -v took="${took:--1}" -v margin="$2" -v limit="$3" 'BEGIN {
        s = took < 0 ? (limit > 0 && limit < 1200 ? limit / 4 : 300) : took * margin + 10
        if (limit > 0 && s > limit / 2) s = limit / 2
        printf "%d\n", s == int(s) ? s : s + 1 }'
}

# seconds_of TIME: as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds,
# days-hours[:minutes[:seconds]]; 0: no limit
seconds_of() {
    awk -v t="$1" 'BEGIN {
        days = 0; n = split(t, half, "-"); if (n == 2) { days = half[1]; t = half[2] }
        k = split(t, f, ":")
        if (n == 2) s = f[1] * 3600 + f[2] * 60 + f[3]
        else s = k == 1 ? f[1] * 60 : k == 2 ? f[1] * 60 + f[2] : f[1] * 3600 + f[2] * 60 + f[3]
        print days * 86400 + s + 0 }'
}

# The number of consecutive early failures up to the last job, since the last new start; and when
# the last job ended.
young_deaths() { # OUT
    awk '/^start .* new$/ { n = 0 } /^end / { n = $5 == "young" ? n + 1 : 0; at = $4 } END { print n + 0, at + 0 }' "$1/jobs.log" 2>/dev/null || echo 0 0
}
# back_off N FIRST: seconds to wait after the N-th early failure: FIRST, 4 FIRST, 16 FIRST ...
back_off() { [ "$1" -eq 0 ] && echo 0 || echo $(($2 * 4 ** ($1 - 1))); }
newest_checkpoint() { cat "$1"/checkpoints/latest "$1"/site-*/checkpoints/latest 2>/dev/null | sort | tail -n 1; }
