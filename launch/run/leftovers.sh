# shellcheck shell=bash
# shellcheck disable=SC2154  # who, scratch: of others
# leftovers.sh: a scratch folder for each start, and the leftovers of killed starts: that folder,
# mpirun's session folder, shared memory segments. The next start removes them if they are this
# user's, were recorded by us, and no process that owns or maps them is left.

# In the folder: owner (HOST BOOT NAMESPACE-OF-PIDS PID START, of the script), job (PID START, of
# mpirun or srun), uri (mpirun's: JOBID.0;...), mark (a file that preflight.sh puts beside a run
# folder).
scratch=''
name_scratch() { # (without a process: run.sh hears signals meanwhile)
    local letters=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _
    scratch=${TMPDIR:-/tmp}/duet-run.
    for _ in 1 2 3 4 5 6; do scratch+=${letters:RANDOM%62:1}; done
}
make_scratch() {
    mkdir -m 700 "$scratch" 2>/dev/null || {
        problem "cannot make a folder for temporary files in ${TMPDIR:-/tmp}" "make room there, or name another folder: TMPDIR=FOLDER"
        exit 1
    }
    echo "$(where_pids_count) $$ $(start_of $$)" >"$scratch/owner"
    hold_session
}
# mpirun keeps its files of this user in one folder, which the last job to end removes, even while
# another is about to use it: that one would fail. A folder of ours in there, made until it is
# there, keeps it.
hold_session() {
    local name folder
    for name in "${HOSTNAME%%.*}" "$HOSTNAME"; do
        folder=${TMPDIR:-/tmp}/ompi.$name.$(id -u)
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            mkdir -m 700 "$folder" 2>/dev/null
            mkdir "$folder/hold.${scratch##*.}" 2>/dev/null && break
            [ -d "$folder/hold.${scratch##*.}" ] && break
        done
    done
}
# A start that was stopped may have made only the outer one; where there is more in it, it stays.
end_hold() { # FOLDER
    local path
    for path in "${TMPDIR:-/tmp}"/ompi.*."$(id -u)"; do
        rmdir "$path/hold.${1##*.}" 2>/dev/null
        rmdir "$path" 2>/dev/null
    done
}
where_pids_count() { echo "$HOSTNAME $(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/pid)"; }
start_of() { # PID: when it began; with its number that is one process for ever
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    read -ra stat <<<"${stat##*)}"
    [ "${stat[0]}" = Z ] || echo "${stat[19]}" # (Z: dead, but not yet buried)
}
is_alive() { [ "$1" ] && [ "$2" ] && [ "$(start_of "$1")" = "$2" ]; } # PID START

# segments FOLDER: shared memory of the ranks of the folder's job (btl vader's; the job of mpirun N
# is N+1)
segments() {
    local jobid path
    read -r jobid 2>/dev/null <"$1/uri" || return 0
    [[ ${jobid%%.*} =~ ^[0-9]+$ ]] || return 0
    for path in /dev/shm/vader_segment.*."$(id -u)"."$(printf %x $((${jobid%%.*} + 1)))".*; do
        [ ! -O "$path" ] || echo "$path"
    done
}
is_held() { grep -qsF -- "$1" /proc/[0-9]*/maps; }

# forget FOLDER: removes what its job left, and the folder, unless a process still uses some of it
forget() {
    local path job _ held=''
    while read -r path; do
        if is_held "$path"; then held=1; else rm -f -- "$path"; fi
    done < <(segments "$1")
    [ -z "$held" ] || return 1
    read -r job _ 2>/dev/null <"$1/job"
    if [ "${job:-}" ] && [ -z "$(start_of "$job")" ]; then
        for path in "${TMPDIR:-/tmp}"/ompi.*."$(id -u)"/pid."$job"; do
            [ ! -O "$path" ] || rm -rf -- "$path"
        done
    fi
    end_hold "$1"
    IFS= read -r path 2>/dev/null <"$1/mark"
    if [[ $path == */.preflight-* && -O $path ]]; then rm -f -- "$path"*; fi
    rm -rf -- "$1"
}

sweep() {
    local folder here owner job
    here=$(where_pids_count)
    for folder in "${TMPDIR:-/tmp}"/duet-run.??????; do
        if [ ! -O "$folder" ] || [ -L "$folder" ] || [ "$folder" = "$scratch" ]; then continue; fi
        job=()
        read -ra owner 2>/dev/null <"$folder/owner" || { forget_unowned "$folder"; continue; }
        read -ra job 2>/dev/null <"$folder/job"
        [ "${owner[*]:0:3}" = "$here" ] || continue
        is_alive "${owner[3]:-}" "${owner[4]:-}" || is_alive "${job[0]:-}" "${job[1]:-}" || forget "$folder"
    done
}

# A start that was killed before it wrote its owner file; a recent one may still be about to. A
# folder with any content is not of this kind.
forget_unowned() { # FOLDER
    [ "$(find "$1" -maxdepth 0 -mmin +5 2>/dev/null)" ] || return 0
    if [ -e "$1/owner" ] && [ ! -s "$1/owner" ]; then rm -f "$1/owner"; fi
    rmdir "$1" 2>/dev/null
}

# At exit: when mpirun was killed, its ranks end a few moments later.
leave() {
    local _ owner=()
    [ -d "$scratch" ] || return 0
    read -ra owner 2>/dev/null <"$scratch/owner"
    [ "${owner[3]:-$$}" = $$ ] || return 0 # of somebody who drew the same name
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        forget "$scratch" && return
        sleep 0.2
    done
}
