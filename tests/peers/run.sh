#!/bin/bash
# run.sh DUET [TEST...]: the checks against other people's programs (tokenizers, transformers,
# llama.cpp, jinja2) with real models. Makes what they need once, outside the tree:
#
#   PEERS, PEERS_VENV   where it all lies: venv.sh
#   PEERS_MODELS        the models that real_models.py makes     ($PEERS/models)
#
# A test is a program tests/peers/test_*.py: it is called with DUET and the models' folder, prints
# one line a check, and exits 0 when all hold, 77 when this machine cannot run it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
duet=$(realpath "$1") || exit 2
shift
. "$here/venv.sh"
models=${PEERS_MODELS:-$peers/models}
venv_make || exit 1
if [ ! -e "$models/ready" ]; then
    echo "peers: making the models in $models"
    "$venv/bin/python" "$here/real_models.py" "$models" >"$peers/models.log" 2>&1 ||
        { tail -n 20 "$peers/models.log"; echo "peers: no models; see $peers/models.log"; exit 1; }
    touch "$models/ready"
fi
[ $# -gt 0 ] || set -- "$here"/test_*.py
passed=0 failed=0 skipped=0
for test in "$@"; do
    echo "== ${test##*/}"
    "$venv/bin/python" "$test" "$duet" "$models"
    case $? in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)); echo "  FAIL  ${test##*/}" ;;
    esac
done
echo "peers: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
