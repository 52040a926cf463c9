"""test_bench.py DUET MODELS: make bench-peers on tiny models, one round of a case of each kind: every contender is measured, the
JSON holds what the table says, and who takes too long, or a case that is not there, is named."""
import json
import os
import subprocess
import sys
from pathlib import Path

from duet import fail, scratch

BENCH = Path(__file__).parent / "bench" / "bench.py"
CASES = "train-135m-2,long-8192,decode-05b-8,grpo-demo,start-135m"
say = lambda text: print(f"  ok    {text}", flush=True)


def bench(program, out, **variables):
    env = dict(os.environ, BENCH_SCALE="0.01", BENCH_ROUNDS="1", BENCH_OUT=str(out), **variables)
    return subprocess.run([sys.executable, str(BENCH), program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def near(a, b):
    return abs(a / b - 1) < 1e-9


def check_case(case):
    duet, *peers = case["rows"]
    for row in case["rows"]:
        if "failed" in row or len(row["readings"]) != 1:
            fail(f"{case['case']}, {row['name']}: {row.get('failed', 'no reading')}")
        if not row["busy"] == row["readings"][0]["machine"]["busy"]:
            fail(f"{case['case']}, {row['name']}: busy is not that of its reading")
    tokens = {row["readings"][0].get("tokens") for row in case["rows"]}
    if len(tokens) != 1:
        fail(f"{case['case']}: contenders did different work: {tokens} tokens")
    for row in peers:
        if not near(row["duet_times_as_fast"]["median"], row["seconds"]["median"] / duet["seconds"]["median"]):
            fail(f"{case['case']}, {row['name']}: a ratio that is none")
    say(f"{case['case']}: {len(peers)} peers, {tokens.pop()} tokens each")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    program = sys.argv[1]
    with scratch() as folder:
        out = Path(folder) / "peers.json"
        done = bench(program, out, BENCH_CASES=CASES)
        if done.returncode:
            fail(done.stdout)
        cases = json.loads(out.read_text())["cases"]
        if sorted(c["case"] for c in cases) != sorted(CASES.split(",")):
            fail(f"cases: {[c['case'] for c in cases]}")
        for case in cases:
            check_case(case)
        done = bench(program, out, BENCH_CASES="start-135m", BENCH_LIMIT="0.01")
        rows = json.loads(out.read_text())["cases"][0]["rows"]
        if done.returncode != 1 or any("BENCH_LIMIT=0" not in row["failed"] for row in rows) or "not measured" not in done.stdout:
            fail(f"with no time at all: exit {done.returncode}\n{done.stdout}")
        done = bench(program, out, BENCH_CASES="decode-135m-8,nothing")
        if done.returncode != 1 or "no case nothing: there are train-135m-1" not in done.stdout:
            fail(f"a case that is not there: exit {done.returncode}\n{done.stdout}")
        say("a contender without time and an unknown case are named")


main()
