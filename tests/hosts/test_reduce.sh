#!/bin/bash
# test_reduce.sh DUET: reductions by nodes, on four hosts of two ranks, over links slow enough to
# dominate: the bits of the flat path, the bytes of the formulas in comm/reduce.h, and the gain that
# follows from them.
. "${BASH_SOURCE%/*}/common.sh"
hosts_up 4
sed 's/slots=1/slots=2/' "$hostfile" >pairs
for i in 1 2 3 4; do "$tb" shape "$i" 200mbit; done

call on 1 "$root/launch/run.sh" -n 8 --hostfile "$PWD/pairs" --timeout 120 "$duet" bench reduce --mib 8 --steps 3 \
    --ways flat,nodes,nodes-int8,gather-flat,gather-nodes
check "exit 0" equal "$code" 0 || finish

# of WAY EXPRESSION...: about the object w of a way, and those of all ways by name
of() {
    local way=$1
    shift
    python3 - "$way" "$@" <<'END'
import json, sys
ways = {w["way"]: w for w in json.load(open("out"))["results"]}
w = ways[sys.argv[1]]
faster = lambda base: ways[base]["seconds"]["min"] / w["seconds"]["min"]
wrong = [e for e in sys.argv[2:] if not eval(e)]
for e in wrong: print("not so:", e, "in", json.dumps(w))
sys.exit(bool(wrong))
END
}
for way in flat nodes nodes-int8 gather-flat gather-nodes; do
    check "$way: bytes that ranks sent" of $way 'w["bytes"] == w["bytes_predicted"]'
    check "$way: bytes on the links" of $way 'abs(w["busiest_link_bytes"]["min"] / w["busiest_link_bytes_predicted"] - 1) < 0.05'
done
check "8 MiB, 4 nodes of 2, flat: 12 MiB a link" of flat 'w["busiest_link_bytes_predicted"] == 12 << 20'
check "by nodes: 10 MiB" of nodes 'w["busiest_link_bytes_predicted"] == 10 << 20' 'w["same_bits"]'
check "in int8: 33/128 of that" of nodes-int8 'w["busiest_link_bytes_predicted"] == (10 << 20) * 33 / 128' 'not w["same_bits"]'
check "by nodes 1.2 times as fast: at least 1.1" of nodes 'w["gain_predicted"] == 1.2' 'faster("flat") > 1.1'
check "in int8 4.65 times: at least 2.5" of nodes-int8 'faster("flat") > 2.5'
check "gathers twice as fast: at least 1.5" of gather-nodes 'w["gain_predicted"] == 2' 'faster("gather-flat") > 1.5'
finish
