#!/bin/bash
# bench.sh DUET: Duet beside PyTorch, TRL, llama.cpp and transformers, on the shapes of real models
# (make bench-peers; what the variables choose: bench/bench.py). The virtual environment is that of
# run.sh, with TRL added to it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
duet=$(realpath "$1") || exit 2
. "$here/venv.sh"
venv_make || exit 1
if ! "$venv/bin/python" -c 'import trl' 2>/dev/null; then
    echo "peers: adding TRL to $venv"
    "$venv/bin/pip" install -q trl >"$peers/trl.log" 2>&1 || echo "peers: no TRL; see $peers/trl.log"
fi
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$peers/inductor} # compiling takes minutes
exec "$venv/bin/python" "$here/bench/bench.py" "$duet"
