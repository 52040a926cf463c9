# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # ranks, problem are of others; line is read by them
# hostfile.sh: hostfiles. Sourced by run.sh and preflight.sh. trainer/planner/hosts.c reads the same
# files for `duet plan`; a test compares them.
# Reading fills these arrays, one element per host:
#   host   its name      slots   ranks it may run      line   where in the hostfile, "FILE:3: "
host=() slots=() line=()
plain='' # 1 while what was read is what mpirun would read

most_slots=65536 # as in trainer/planner/hosts.c
name_form='^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9._-]*$'

# "host slots=N [max_slots=M]"; # starts a comment. Tabs count as blanks, blanks may surround "=",
# lines may end in CR LF. A host that is listed twice, in any case, gets the sum of its slots, as
# with mpirun.
read_hostfile() { # FILE
    local file=$1 n=0 text before=$problems odd=''
    if [ -d "$file" ] || [ ! -r "$file" ]; then
        problem "cannot read the hostfile $file$([ ! -d "$file" ] || echo ": it is a folder")" "ls hostfiles; hostfiles/README.md says how to write one"
        return
    fi
    [ -f "$file" ] && plain=1 # (what is no file can be read once only)
    while IFS= read -r text || [ "$text" ]; do
        n=$((n + 1))
        [ $n -gt 1 ] || [ "${text#$'\xef\xbb\xbf'}" = "$text" ] || text=${text#$'\xef\xbb\xbf'} plain='' # a byte order mark
        [[ $text != *[$'\t\r']* ]] || plain=''
        text=${text%%#*}
        read_host "$file:$n" "${text//[$'\t\r']/ }"
    done < <(tr '\0' '\1' <"$file") # (a shell drops NULs, and with them every sign of UTF-16)
    [ ${#host[@]} -gt 0 ] || [ "$problems" -gt "$before" ] || problem "$file lists no hosts" "write a line for each, such as: $own_name slots=${ranks:-2}"
}

# One line, without its comment.
read_host() { # PLACE TEXT
    local at=$1 name rest word key number count=0 most=0
    read -r name rest <<<"$2"
    [ "$name" ] || return 0
    if [[ ! $name =~ $name_form || ${#name} -gt 254 || ${name,,} =~ ^(slots|max[_-]slots)$ ]]; then
        no_name "$at" "$name"
        return
    fi
    while [ "$rest" ]; do
        [[ $rest =~ ^([^\ =]*)\ *=?\ *([^\ =]*)\ *(.*)$ ]]
        word=${BASH_REMATCH[1]} number=${BASH_REMATCH[2]} rest=${BASH_REMATCH[3]}
        key=${word,,}
        if [[ ! $key =~ ^(slots|max_slots|max-slots)$ ]]; then
            problem "$at: \"$word\" is not an option of a host: use slots=N or max_slots=N" "write: $name slots=2"
            return
        fi
        if [[ ! $number =~ ^0*[1-9][0-9]{0,4}$ ]] || [ $((10#$number)) -gt $most_slots ]; then
            problem "$at: $key=$number of $name must be a number from 1 to $most_slots" "write: $name $key=2"
            return
        fi
        [[ $number != 0* && $key == "$word" ]] || plain=''
        if [ "$key" = slots ]; then count=$((10#$number)); else most=$((10#$number)); fi
    done
    if [ "$count" -eq 0 ]; then
        problem "$at: host $name has no slots=N, the number of ranks it may run" "write: $name slots=2"
    elif [ "$most" -gt 0 ] && [ "$most" -lt "$count" ]; then
        problem "$at: $name: max_slots=$most is less than slots=$count" "write: $name slots=$most"
    else
        add_host "$at" "$name" "$count"
    fi
}

add_host() { # PLACE NAME SLOTS
    local i
    for i in "${!host[@]}"; do
        [ "${host[i],,}" = "${2,,}" ] || continue
        slots[i]=$((slots[i] + $3))
        [ "${host[i]}" = "$2" ] || plain=''
        echo "launch/run.sh: note: $1: host $2 is already listed (${line[i]%: }): ${slots[i]} slots in total" >&2
        return
    done
    host+=("$2") slots+=("$3") line+=("$1: ")
}

no_name() { # PLACE WORD
    local LC_ALL=C
    case $2 in
    *[$'\x01\xfe\xff']*)
        [ "$odd" ] || problem "$1: not a text file, or a UTF-16 one" "save it as UTF-8 or plain text"
        odd=1
        ;;
    *:*:* | \[*) problem "$1: $2 is an IPv6 address, but hosts are reached over IPv4" "write the host's name or its IPv4 address" ;;
    *:[0-9]*) problem "$1: \"$2\" is not a host name" "write: ${2%%:*} slots=${2##*:}" ;;
    [Ss]lots | [Ss]lots=* | SLOTS* | max[_-]slots* | =*) problem "$1: the line has no host name" "write: HOST slots=2" ;;
    *) problem "$1: \"$2\" is not a host name: names consist of ASCII letters, digits, . - and _" "write: node-a slots=2" ;;
    esac
}

# What mpirun reads: the file itself, or a clean copy.
hostfile_for_mpirun() { # FILE SCRATCH
    local i
    [ -z "$plain" ] || { echo "$1"; return; }
    for i in "${!host[@]}"; do echo "${host[i]} slots=${slots[i]}"; done >"$2/hostfile"
    echo "$2/hostfile"
}

# A user's map: one host per line, for rank 0, 1, ...; fills placed, with the names as in the
# hostfile.
read_map() { # FILE RANKS
    local file=$1 n=0 text name rest i
    local -A used=()
    while IFS= read -r text || [ "$text" ]; do
        n=$((n + 1))
        [ $n -gt 1 ] || text=${text#$'\xef\xbb\xbf'}
        text=${text%%#*}
        read -r name rest <<<"${text//[$'\t\r']/ }"
        [ "$name" ] || continue
        [ -z "$rest" ] || { problem "$file:$n: a map takes one host per line and nothing else: \"$rest\"" "the hostfile gives the number of ranks of each host"; continue; }
        for i in "${!host[@]}" -; do [ "$i" = - ] || [ "${host[i],,}" != "${name,,}" ] || break; done
        [ "$i" = - ] || name=${host[i]}
        placed+=("$name")
        used[$name]=$((${used[$name]:-0} + 1))
        if [ "$i" = - ]; then
            problem "$file:$n: places a rank on $name, which is not in $where" "add there: $name slots=${used[$name]}"
        elif [ "${used[$name]}" -gt "${slots[i]}" ]; then
            problem "$file:$n: places rank ${used[$name]} of $name, which has ${slots[i]} slots in $where" "write there: $name slots=${used[$name]}"
        fi
    done <"$file"
    [ "${#placed[@]}" -eq "$2" ] || problem "$file has ${#placed[@]} lines, not one for each of $2 ranks" "write a host for each rank, or start with -n ${#placed[@]}"
}
