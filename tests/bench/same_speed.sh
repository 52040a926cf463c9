#!/bin/bash
# same_speed.sh BEFORE NOW [TRIES]: is a changed program as fast as the one before? Both run in
# turn, TRIES (5) times each: training steps, decoding, each of a model of three million parameters.
# Prints the ratio of tokens per second of processor time, which other work on the machine disturbs
# least, and its median; exit 1 when a median is below 0.98. About a minute on a quiet machine.
set -u
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
before=$1 now=$2 tries=${3:-5}
model=(--layers 4 --hidden 256 --ffn 688 --heads 4)

rate() { # PROGRAM WHAT: tokens a second of processor time
    "$1" bench "$2" "${model[@]}" --steps 5 --answer 64 | awk '
        function median(name) { return match($0, "\"" name "\": [{][^}]*\"median\": [0-9.e+-]*") ? substr($0, RSTART, RLENGTH) : "" }
        function number(text) { sub(/.*: /, "", text); return text + 0 }
        { print number(median("tokens_per_second")) / number(median("processor_share")) }'
}
slow=0
for what in train decode; do
    ratios=()
    for ((i = 0; i < tries; i++)); do
        b=$(rate "$before" $what) n=$(rate "$now" $what)
        ratios+=("$(awk -v b="$b" -v n="$n" 'BEGIN { if (b <= 0 || n <= 0) exit 1; printf "%.3f", n / b }')") ||
            { echo "same_speed: $what: no figures" >&2; exit 2; }
    done
    median=$(printf '%s\n' "${ratios[@]}" | sort -n | sed -n "$(((tries + 1) / 2))p")
    echo "$what: now / before ${ratios[*]}, median $median"
    awk -v m="$median" 'BEGIN { exit m < 0.98 }' || slow=1
done
exit $slow
