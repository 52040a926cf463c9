#!/bin/bash
# tidy.sh FLAGS... -- FILE...: clang-tidy and cppcheck over the sources. A tool that is missing is an error that says
# how to get it. Files of model/cpu are read as the base bf16 variant of themselves.
set -u
for tool in clang-tidy cppcheck; do
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
status=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for file in "$@"; do
    extra=()
    case $file in model/cpu/*) extra=("${kernel[@]}") ;; esac
    clang-tidy --quiet "$file" -- "${flags[@]}" "${extra[@]}" >"$log" 2>/dev/null || { status=1; cat "$log"; }
done
cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j "$(nproc)" \
    --suppress=missingIncludeSystem --suppress=nullPointerArithmeticRedundantCheck -I. "${kernel[@]}" "$@" || status=1
[ $status -eq 0 ] && echo "tidy: ok"
exit $status
