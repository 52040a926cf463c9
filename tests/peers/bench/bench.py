"""bench.py DUET: Duet beside PyTorch, TRL, llama.cpp and transformers on this machine, on the shapes of real models (make
bench-peers). Every contender of a case has its turn in every round; figures are medians of the rounds, a ratio is formed within a
round. Same cores (taskset) and thread counts for all; each warms up first.

    BENCH_CASES   which, by names with * and ?; a list with commas        (all)
    BENCH_ROUNDS  rounds                                                  (5)
    BENCH_SCALE   below 1: fewer layers and tokens, of the same width;
                  below 0.02 tiny models, to try the scripts              (1)
    BENCH_LIMIT   seconds that one reading may take                       (1800)
    BENCH_OUT     JSON with every reading                                 (build/bench/peers.json)

Exit code 1: Duet has failed in a case; a peer that failed is a row that says why.
"""
import fnmatch
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import machine
from cases import CASES, Setting
from contender import Failed


def spread(values):
    return dict(min=min(values), median=statistics.median(values), max=max(values))


def wanted():
    patterns = os.environ.get("BENCH_CASES", "*").split(",")
    names = [n for n in CASES if any(fnmatch.fnmatch(n, p) for p in patterns)]
    unknown = [p for p in patterns if not fnmatch.filter(CASES, p)]
    if unknown:
        sys.exit(f"bench-peers: no case {', '.join(unknown)}: there are {', '.join(CASES)}")
    return names


def share_of(reading, threads):
    """Of a core; of several threads it says little: they wait for each other."""
    if "share" in reading:
        return reading["share"]
    if threads > 1 or not reading.get("processor"):
        return None
    return round(reading["processor"] / reading["seconds"], 3)


def turn(contender, row):
    """One reading into the row; a contender that fails takes no more turns."""
    watch = machine.Watch()
    try:
        reading = contender.measure()
    except Failed as e:
        row["failed"] = str(e)
        contender.close()
        return
    contender.note = reading.pop("note", contender.note)
    row["note"] = contender.note
    reading["machine"] = watch.stop(share_of(reading, contender.threads))
    row["readings"].append(reading)


def summary(row, duet):
    """Medians and spreads; how many times as fast Duet is, within each round: above 1 Duet is the faster."""
    r = row["readings"]
    if not r:
        return
    row["seconds"] = spread([x["seconds"] for x in r])
    row["busy"] = any(x["machine"]["busy"] for x in r)
    for key in ("fraction", "fraction_by_processor"):
        if key in r[0]:
            row[key] = spread([x[key] for x in r])
    if "tokens" in r[0]:
        row["tokens_per_second"] = spread([x["tokens"] / x["seconds"] for x in r])
    for name, key in (("duet_times_as_fast", "seconds"), ("duet_times_as_fast_by_processor", "processor")):
        pairs = [(x.get(key), d.get(key)) for x, d in zip(r, duet["readings"])]
        if row is not duet and pairs and all(a and b for a, b in pairs):
            row[name] = spread([a / b for a, b in pairs])


def run_case(name, setting, rounds):
    what, contenders = CASES[name](setting)
    rows = [dict(name=c.name, note="", readings=[]) for c in contenders]
    print(f"\n{name}: {what}", flush=True)
    for c, row in zip(contenders, rows):
        try:
            c.open()
        except Failed as e:
            row["failed"] = str(e)
            c.close()
        row["note"] = c.note
    for _ in range(rounds):
        for c, row in zip(contenders, rows):
            if "failed" not in row:
                turn(c, row)
    for c in contenders:
        c.close()
    for row in rows:
        summary(row, rows[0])
    return dict(case=name, what=what, rows=rows)


def number(s, form="{:.3g}"):
    return "" if not s else f"{form.format(s['median'])} ({form.format(s['min'])}–{form.format(s['max'])})"


def table(case):
    """Markdown. The better peer has a star: the one that takes least."""
    lines = ["| | seconds | tokens/s | Duet is x times as fast | by processor time | of its limit | |", "|---|---|---|---|---|---|---|"]
    peers = [r for r in case["rows"][1:] if r["readings"]]
    best = min(peers, key=lambda r: r["seconds"]["median"])["name"] if peers else None
    for r in case["rows"]:
        if not r["readings"]:
            lines.append(f"| {r['name']} | not measured: {r['failed']} | | | | | |")
            continue
        star = " *" if r["name"] == best else ""
        remark = ", ".join(filter(None, ["busy" if r["busy"] else "", f"{len(r['readings'])} rounds, then: {r['failed']}" if "failed" in r else ""]))
        lines.append(f"| {r['name']}{star} | {number(r['seconds'])} | {number(r.get('tokens_per_second'), '{:.4g}')} | "
                     f"{number(r.get('duet_times_as_fast'))} | {number(r.get('duet_times_as_fast_by_processor'))} | "
                     f"{number(r.get('fraction_by_processor'))} | {remark} |")
    return "\n".join(lines)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rounds, scale = int(os.environ.get("BENCH_ROUNDS", 5)), float(os.environ.get("BENCH_SCALE", 1))
    if rounds < 1 or not 0 < scale <= 1:
        sys.exit("bench-peers: BENCH_ROUNDS is at least 1, BENCH_SCALE above 0 and at most 1")
    out = Path(os.environ.get("BENCH_OUT", "build/bench/peers.json")).resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    names, failed = wanted(), False
    result = dict(bench="peers", rounds=rounds, scale=scale, processor=machine.model_name(), cores=os.cpu_count(),
                  instruction_sets=machine.instruction_sets(), began=time.strftime("%Y-%m-%d %H:%M"), cases=[])
    print(f"{result['processor']}, {result['cores']} cores, {' '.join(result['instruction_sets'])}; {rounds} round(s), scale {scale:g}"
          f"{'' if scale == 1 else ': fewer layers and tokens than the models have' if scale >= 0.02 else ': tiny models'}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=os.environ.get("PEERS_SCRATCH")) as work:
        os.environ["BENCH_WORK"] = work
        setting = Setting(Path(sys.argv[1]).resolve(), work, scale)
        for name in names:
            case = run_case(name, setting, rounds)
            result["cases"].append(case)
            print(table(case), flush=True)
            notes = {r["note"] for r in case["rows"] if r["note"]}
            print(f"({'; '.join(sorted(notes))})", flush=True)
            out.write_text(json.dumps(result, indent=1))
            failed |= "failed" in case["rows"][0]
    print(f"\n* the better peer. busy: load, stolen time or the share of a core were beyond the limits of machine.py.\n{out}")
    sys.exit(failed)


main()
