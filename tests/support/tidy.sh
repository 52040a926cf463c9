#!/bin/bash
# tidy.sh FLAGS... -- FILE...: clang-tidy and cppcheck over the sources, shellcheck over launch/. A
# tool that is missing is an error that says how to get it. Files of model/cpu are read as the base
# bf16 variant of themselves.
set -u
for tool in clang-tidy cppcheck shellcheck; do
    command -v $tool >/dev/null || { echo "tidy: $tool is missing; run: make setup-dev" >&2; exit 2; }
done
flags=()
while [ "$1" != -- ]; do
    case $1 in -M* | -g | -O*) ;; *) flags+=("$1") ;; esac
    shift
done
shift
for word in $(mpicc --showme:compile); do
    case $word in -I*) flags+=(-isystem "${word#-I}") ;; esac
done
kernel=(-DREAL_IS_BF16=1 -DVARIANT=base_bf16 '-DVARIANT_ISA="base"')

FLAGS=$(printf '%q ' "${flags[@]}") KERNEL=$(printf '%q ' "${kernel[@]}")
export FLAGS KERNEL
tidy_one() { # file: silent when there is nothing to say
    local words=$FLAGS said
    case $1 in model/cpu/*) words+=$KERNEL ;; esac
    eval "words=($words)"
    said=$(clang-tidy --quiet "$1" -- "${words[@]}" 2>/dev/null) || { grep -A 2 "error:" <<<"$said"; return 1; }
}
export -f tidy_one
status=0
printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy_one "$1"' _ || status=1
cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j "$(nproc)" \
    --library=tests/support/cppcheck.cfg --suppressions-list=tests/support/cppcheck.supp \
    --template='{file}:{line}: {severity}: {message} [{id}]' -I. "${kernel[@]}" "$@" || status=1
shellcheck -x launch/*.sh launch/*/*.sh launch/slurm/train.sbatch || status=1
[ $status -eq 0 ] && echo "tidy: ok"
exit $status
