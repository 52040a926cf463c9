#!/bin/bash
# run.sh DUET [TEST...]: the checks against other people's programs (tokenizers, transformers,
# llama.cpp, jinja2) with real models. Makes what they need once, outside the tree:
#
#   PEERS         where it all lies                        (${TMPDIR:-/tmp}/duet-peers)
#   PEERS_VENV    the virtual environment                  ($PEERS/venv)
#   PEERS_MODELS  the models that real_models.py makes     ($PEERS/models)
#
# A test is a program tests/peers/test_*.py: it is called with DUET and the models' folder, prints
# one line a check, and exits 0 when all hold, 77 when this machine cannot run it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
duet=$(realpath "$1") || exit 2
shift
peers=${PEERS:-${TMPDIR:-/tmp}/duet-peers}
venv=${PEERS_VENV:-$peers/venv}
models=${PEERS_MODELS:-$peers/models}
mkdir -p "$peers"
if [ ! -x "$venv/bin/python" ]; then
    echo "peers: making the virtual environment $venv (some minutes)"
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q -r "$here/requirements.txt"; } >"$peers/venv.log" 2>&1 ||
        { tail -n 20 "$peers/venv.log"; echo "peers: no virtual environment; see $peers/venv.log"; exit 1; }
fi
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
