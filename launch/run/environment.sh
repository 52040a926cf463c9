# shellcheck shell=bash
# shellcheck disable=SC2154  # who: the script that sources this
# environment.sh: how mistakes are reported, and the environment variables DUET_*: one table,
# checked before anything else.
# Sourced by the scripts of launch/, which set who, their name.

problems=0 problems_code=2
problem() { # what [fix]: reports a mistake; the script ends after all of them were reported
    problems=$((problems + 1))
    echo "$who: $1" >&2
    [ $# -lt 2 ] || echo "  fix:  $2" >&2
}
end_if_problems() { [ "$problems" -eq 0 ] || exit $problems_code; }

# One line each: name; who reads it; what the whole value must match (an extended regular
# expression); what is valid. duet checks its own.
duet_variables='
DUET_SSH; scripts; [^"'\''\\]+; an ssh command, its words separated by blanks, without quotes: DUET_SSH="ssh -F FILE"
DUET_KEEPALIVE; scripts; 0+|[0-9]{1,5}([[:blank:]]+[0-9]{1,5}){2}; "TIME INTERVAL PROBES", seconds, seconds (1 to 32767) and a count (1 to 127), such as "3 1 6"; or to 0: none
DUET_INTERFACE; scripts; [^[:space:]]+; networks or interfaces, separated by commas: 10.0.0.0/24,ib0
DUET_RAW; scripts; 0|1; 1 (shows all output of mpirun and srun, unfiltered) or 0
DUET_TESTBED; scripts; [A-Za-z0-9]{1,20}; the name of a testbed (letters and digits)
DUET_AGAIN_ARRAY; scripts; [0-9,%-]+; nothing: train.sbatch sets it for submit.sh
DUET_AGAIN_ATTEMPT; scripts; [0-9]+; nothing: train.sbatch sets it for submit.sh
DUET_AGAIN_BEGIN; scripts; now\+[0-9]+; nothing: train.sbatch sets it for submit.sh
DUET_TERMINAL; duet; .*; columns of the terminal; set by run.sh
DUET_LAUNCHED; duet; .*; set by run.sh: the ranks say when they listen
DUET_ISA; duet; .*; kernels: plain, base, avx2, avx512 or amx
DUET_BF16; duet; .*; products of bf16: native or widen
DUET_PACE_US; duet; .*; microseconds that each step of a pass sleeps
DUET_RANKS_PER_NODE; duet; .*; ranks that pretend to share a host
DUET_TEST_STEPS; tests; .*; steps of a soak test
'

# An empty variable counts as unset.
check_environment() {
    local name reader pattern right value known=' '
    while IFS=';' read -r name reader pattern right; do
        [ "$name" ] || continue
        known+="$name "
        value=${!name:-} pattern=${pattern# }
        if [ -z "$value" ] || [ "${reader# }" != scripts ]; then continue; fi
        value_is_right "$name" "$value" "$pattern" || problem "$name=\"$value\" is not valid" "set $name to${right}"
    done <<<"$duet_variables"
    while read -r name; do
        [[ $known == *" $name "* ]] && continue
        value=$(nearest_variable "$name" "$known")
        echo "$who: warning: unknown environment variable $name${value:+; did you mean $value?}" >&2
    done < <(compgen -e | grep '^DUET_')
}
value_is_right() { # NAME VALUE PATTERN
    local number
    [[ $2 =~ ^($3)$ ]] || return
    case $1 in
    DUET_SSH) command -v "${2%%[[:blank:]]*}" >/dev/null ;;
    DUET_KEEPALIVE)
        read -ra number <<<"$2"
        [ ${#number[@]} -eq 1 ] || { [ $((10#${number[0]})) -ge 1 ] && [ $((10#${number[0]})) -le 32767 ] && [ $((10#${number[1]})) -ge 1 ] &&
            [ $((10#${number[1]})) -le 32767 ] && [ $((10#${number[2]})) -ge 1 ] && [ $((10#${number[2]})) -le 127 ]; } ;;
    esac
}

# The known name with the smallest edit distance, when that is at most a third of its characters.
nearest_variable() { # NAME "KNOWN NAMES"
    awk -v word="$1" -v known="$2" 'BEGIN {
        n = split(known, name, " "); most = int(length(word) / 3)
        for (k = 1; k <= n; k++) {
            d = distance(word, name[k])
            if (d <= most) { most = d - 1; best = name[k] }
        }
        print best
    }
    function distance(a, b, i, j, m, row, left, up) {
        m = length(b)
        for (j = 0; j <= m; j++) row[j] = j
        for (i = 1; i <= length(a); i++) {
            left = row[0]; row[0] = i
            for (j = 1; j <= m; j++) {
                up = row[j]
                left += substr(a, i, 1) != substr(b, j, 1)
                if (row[j] + 1 < left) left = row[j] + 1
                if (row[j - 1] + 1 < left) left = row[j - 1] + 1
                row[j] = left; left = up
            }
        }
        return row[m]
    }'
}

# DUET_KEEPALIVE in keepalive_time (0: none), keepalive_interval, keepalive_probes;
# keepalive_seconds until a host counts as lost.
# shellcheck disable=SC2034  # read by run.sh
read_keepalive() {
    read -r keepalive_time keepalive_interval keepalive_probes <<<"${DUET_KEEPALIVE:-3 1 6}"
    keepalive_time=$((10#$keepalive_time)) keepalive_interval=$((10#${keepalive_interval:-0})) keepalive_probes=$((10#${keepalive_probes:-0}))
    keepalive_seconds=$((keepalive_time + keepalive_interval * keepalive_probes))
}
