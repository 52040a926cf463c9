# venv.sh, sourced by run.sh and bench.sh: where other programs lie, and how they get there.
#
#   PEERS         where it all lies          (${TMPDIR:-/tmp}/duet-peers)
#   PEERS_VENV    the virtual environment    ($PEERS/venv)
peers=${PEERS:-${TMPDIR:-/tmp}/duet-peers}
venv=${PEERS_VENV:-$peers/venv}

# Once; it needs the network, and a C++ compiler for llama.cpp.
venv_make() {
    local folder
    mkdir -p "$peers"
    [ -x "$venv/bin/python" ] && return 0
    folder=$(dirname "${BASH_SOURCE[0]}")
    echo "peers: making the virtual environment $venv (some minutes)"
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q -r "$folder/requirements.txt"; } >"$peers/venv.log" 2>&1 && return 0
    tail -n 20 "$peers/venv.log"
    echo "peers: no virtual environment; see $peers/venv.log"
    return 1
}
