#!/bin/bash
# test_hostfile.sh DUET: hostfiles and maps as launch/run.sh reads them: as various editors and
# systems write them, every mistake with its line and the correction; `duet plan` accepts and
# rejects the same hostfiles.
# shellcheck source=tests/faults/common.sh
. "${BASH_SOURCE%/*}/common.sh"
run=$root/launch/run.sh
files=$root/hostfiles
unset "${!SLURM_@}" "${!DUET_@}"

printf 'a slots=2 # two\n\n# nothing\nb slots = 1\na slots=1\n' >hosts
# A hostfile as editors and other systems write it: read as intended, and mpirun gets a clean copy.
printf '\xef\xbb\xbfA.east.example\tslots=08 \t\r\n\r\na.west.example SLOTS\t=\t2 # two\r\na.east.example slots=1 max-slots=9' >odd
call "$run" -n 11 --hostfile odd --dry-run true
check "odd hostfile: exit 0" equal "$code" 0
check "odd hostfile: read as meant" equal "$(placed)" "$(printf 'A.east.example %.0s' {1..9})a.west.example a.west.example"
check "odd hostfile: twice there, said" has err "odd:4: host a.east.example is already listed (odd:1): 9 slots in total"
check "odd hostfile: a clean copy" grep -qE -- '--hostfile /[^ ]*/duet-run\.[^ ]*/hostfile' out
check "full names of hosts" has out "orte_keep_fqdn_hostnames 1"
call "$run" -n 2 --hostfile <(printf 'a slots=2\n') --dry-run true
check "a hostfile from a pipe: a copy" grep -qE -- '--hostfile /[^ ]*/hostfile' out
cp hosts "my hosts é"
call "$run" -n 4 --hostfile "my hosts é" --dry-run true
check "a hostfile's name with blanks" has out "$(printf %q "my hosts é") --map-by slot"
# `duet plan` accepts and rejects the same files.
both() { # CODE TEXT
    local a b
    printf "$2" >both
    "$run" -n 1 --hostfile both --dry-run true >/dev/null 2>&1
    a=$?
    "$duet" plan recipe.yaml --hostfile both --ranks 1 --set mesh.dp=1 --set mesh.pp=1 >/dev/null 2>both.err
    b=$?
    equal "run.sh $a, duet plan $b" "run.sh $1, duet plan $1" || { cat both.err; return 1; }
}
for text in 'a slots=1' 'a\tslots=01\r\n' '\xef\xbb\xbfa slots=1' 'A slots=1\na slots=2' 'a SLOTS = 2 max-slots = 3' 'a slots=1#x' 'u@a slots=1' \
    'a slots=1 slots=2' 'a slots=65536'; do
    check "both take: $text" both 0 "$text"
done
for text in '' '\n\n' 'a' 'a slots=0' 'a slots' 'a slots=' 'a slots=1 x' 'a slots=-1' 'a slots=1.5' 'a:2' '[::1] slots=1' 'a/b slots=1' 'é slots=1' \
    'slots=1' '=1' 'a slots=99999' 'a slots=2 max_slots=1' 'a,b slots=1' '-a slots=1' 'a max_slots=2' 'a b slots=1' '\xff\xfea\0 \0'; do
    check "both refuse: $text" both 2 "$text"
done

# --- maps ---
printf 'a slots=4\nb slots=4\n' >two
call "$run" -n 8 --hostfile two --map pipelines:2x4x1 --dry-run true
check "map pipelines" equal "$(placed)" "a a a a b b b b"
call "$run" -n 8 --hostfile two --map experts:2x4x1 --dry-run true
check "map experts" equal "$(placed)" "a a b b a a b b"
check "map experts: by rank" has out "--map-by seq"
call "$run" -n 8 --hostfile two --map mirrored:2x4x1 --dry-run true
check "map mirrored" equal "$(placed)" "a b b a a b b a"
call "$run" -n 8 --hostfile two --map experts:2x2x2 --dry-run true
check "map experts, tensor groups" equal "$(placed)" "a a b b a a b b"
for map in "$files"/maps/*; do
    name=${map##*/}
    mesh=${name#*.}
    ranks=$(($(sed 's/.*-//; s/x/*/g' <<<"$mesh")))
    call "$run" -n $ranks --hostfile "$files/${name%%.*}" --map "${mesh/-/:}" --dry-run true
    check "maps/$name is what its name says" equal "$(placed)" "$(grep -v '^#' "$map" | paste -sd' ')"
    call "$run" -n $ranks --hostfile "$files/${name%%.*}" --map "$map" --dry-run true
    check "maps/$name is taken" equal "$code" 0
done
for name in 1-host 2-hosts 4-hosts 16-hosts; do
    n=${name%%-*}
    call "$run" -n $((8 * n)) --hostfile "$files/$name" --dry-run true
    check "$name: number of hosts" equal "$(placed | tr ' ' '\n' | sort -u | wc -l)" "$n"
done

# --- mistakes ---
call "$run" -n 2 --hostfile nowhere true
mistake "no hostfile" "cannot read the hostfile nowhere"
printf 'a\nb slots=0\nc slot=2\nd slots=two\ne slots=65537\nf slots=4 max_slots=2\n' >bad
call "$run" -n 2 --hostfile bad true
mistake "no slots" "bad:1: host a has no slots=N, the number of ranks it may run" "bad:2: slots=0 of b must be a number from 1 to 65536" 'bad:3: "slot" is not an option of a host: use' \
    "write: c slots=2" "bad:4: slots=two of d" "bad:5: slots=65537 of e" "bad:6: f: max_slots=2 is less than slots=4"
printf 'fe80::1 slots=1\nb:4\nslots=4\n= 4\nknoten-ä slots=1\na@ slots=1\n' >bad
call "$run" -n 2 --hostfile bad true
mistake "no names" "bad:1: fe80::1 is an IPv6 address" "write: b slots=4" "bad:3: the line has no host name" "bad:4: the line has no" \
    "bad:5: \"knoten-ä\" is not a host name" "bad:6:"
printf 'h1 slots=1\n' | iconv -t UTF-16 >bad
call "$run" -n 1 --hostfile bad true
mistake "UTF-16" "bad:1: not a text file, or a UTF-16 one"
check "UTF-16: nothing of our shell's" hasnt err "null byte"
call "$run" -n 2 --hostfile "" true
mistake "an empty name" "the name of the hostfile is empty"
mkdir folder
call "$run" -n 2 --hostfile folder true
mistake "a folder" "cannot read the hostfile folder: it is a folder"
printf '# nothing\n' >empty
call "$run" -n 2 --hostfile empty true
mistake "no host" "empty lists no hosts"
call "$run" -n 8 --hostfile two --map experts:2x2x1 --dry-run true
mistake "map of another mesh" "that mesh has 4 ranks, not 8"
call "$run" -n 8 --hostfile two --map experts --dry-run true
mistake "map without a mesh" "the mesh is missing"
printf 'a\na\nc\n' >map
call "$run" -n 4 --hostfile hosts --map map --dry-run true
mistake "map file" "map has 3 lines, not one for each of 4 ranks" "map:3: places a rank on c, which is not in hosts" "add there: c slots=1"
printf '\xef\xbb\xbfA\r\n\tb # two\r\n\r\na\r\nA' >map
call "$run" -n 4 --hostfile hosts --map map --dry-run true
check "map file of another system" equal "$(placed)" "a b a a"
printf 'a\na\nb slots=2\nb\n' >map
call "$run" -n 4 --hostfile hosts --map map --dry-run true
mistake "map file with slots" 'map:3: a map takes one host per line and nothing else: "slots=2"'
call "$run" -n 4 --map experts:2x2x1 --dry-run true
mistake "map without hosts" "--map needs hosts"

finish
