#!/bin/bash
# install.sh PROGRAM [--uninstall]: what `make install` and `make uninstall` run. PREFIX
# (/usr/local) is where it will be found, DESTDIR a folder before it, for those who make packages:
#
#   PREFIX/bin/duet, duet-run, duet-submit, duet-preflight     the program; launch/run.sh and the others
#   PREFIX/share/duet/launch, hostfiles                        scripts, recipes, clusters, hostfiles
#   PREFIX/include/duet_grader.h                               for graders that are shared objects
#   PREFIX/share/doc/duet                                      README, license, docs
#   PREFIX/share/bash-completion/completions/duet              commands, options and settings by TAB
set -eu
prefix=${PREFIX:-/usr/local} program=$1
[[ $prefix == /* ]] || { echo "make install: PREFIX must begin with /, not $prefix" >&2; exit 2; }
to=${DESTDIR:-}$prefix
cd "$(dirname "$0")/.."
commands=(run submit preflight)
completion=$to/share/bash-completion/completions/duet

if [ "${2:-}" = --uninstall ]; then
    for name in "${commands[@]}"; do rm -f "$to/bin/duet-$name"; done
    rm -f "$to/bin/duet" "$to/include/duet_grader.h" "$completion"
    rm -rf "$to/share/duet" "$to/share/doc/duet"
    echo "removed duet from $to"
    exit
fi

mkdir -p "$to/bin" "$to/include" "$to/share/duet/launch" "$to/share/doc/duet" "${completion%/*}"
install -m 755 "$program" "$to/bin/duet"
cp -R launch/{run,slurm,preflight,recipes,clusters,graders} launch/{run,submit,preflight,isas}.sh "$to/share/duet/launch/"
install -m 644 trainer/reward/plugin/duet_grader.h "$to/include/"
cp -R hostfiles "$to/share/duet/"
cp -R README.md LICENSE docs "$to/share/doc/duet/"
for name in "${commands[@]}"; do
    printf '#!/bin/sh\nexec %q "$@"\n' "$prefix/share/duet/launch/$name.sh" >"$to/bin/duet-$name"
    chmod 755 "$to/bin/duet-$name"
done
"$program" completion bash >"$completion" 2>/dev/null || rm -f "$completion"
echo "installed $to/bin/duet; recipes: $to/share/duet/launch/recipes"
