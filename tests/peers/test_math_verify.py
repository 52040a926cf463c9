"""test_math_verify.py DUET MODELS: the mathematics grader against Math-Verify (PyPI math-verify), on pairs by chance.

PEERS_MATH_PAIRS (10000; 1000 take some minutes) pairs of an expected answer and an answer (math_pairs.py, seed PEERS_SEED, 1).
Each disagreement must be of a class below, which says who reads it otherwise and why; one of no class fails. The unit test
beside DUET answers for Duet (MATH_CASES), so it is built by `make tests`.

PEERS_MATH_VERIFY=FOLDER: the sources of Math-Verify; the cases of its tests, pairs with what they expect, are then asked, too,
and counted: most that differ are prose, of which strict rules take nothing.
"""
import ast
import collections
import logging
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from math_pairs import Pairs
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

logging.disable(logging.CRITICAL)
PAIRS = int(os.environ.get("PEERS_MATH_PAIRS", 10000))
SEED = int(os.environ.get("PEERS_SEED", 1))
CONFIG = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
FILES = ["test_all", "test_boxed", "test_strict", "test_numina_cases", "test_open_thoughts", "test_yujianll"]


def theirs(gold, answer):
    read = [parse(f"$\\boxed{{{text}}}$", CONFIG, parsing_timeout=None) for text in (gold, answer)]
    return bool(verify(*read, timeout_seconds=None))


def ours(duet, pairs):
    """A sign for each pair: + right, - wrong, 0 no answer, ? undecided."""
    program = Path(duet).resolve().parent / "tests/unit/reward/test_math"
    if not program.exists():
        print(f"  skip  no {program}: make tests")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases"
        cases.write_bytes(b"".join(text.encode() + b"\x1e" for pair in pairs for text in pair))
        subprocess.run([program], env={**os.environ, "MATH_CASES": str(cases)}, check=True, stdout=subprocess.DEVNULL)
        signs = (Path(folder) / "cases.verdicts").read_text()
    assert len(signs) == len(pairs)
    return signs


def kind(text):
    return "set" if text.startswith("\\{") else "tuple" if text[0] in "([" else "list"


def classify(family, gold, answer, right, yes):
    """Why Duet says `right` and Math-Verify `yes`; None: nobody knows."""
    if family == "integers" and answer.endswith("."):
        return "a point that ends the sentence inside the box is no part of the number: Math-Verify finds none"
    if family == "integers" and answer == f"{gold}, {gold}" and yes:
        return "an answer given twice is a list, which is wrong: Math-Verify takes lists as sets"
    if family == "lists" and yes and "tuple" in (kind(gold), kind(answer)) and kind(gold) != kind(answer):
        return "a tuple stands for no set, a list for a tuple only in order (C6, C7): Math-Verify compares some as sets"
    if family == "lists" and yes:
        return "items count as often as they stand (C7): Math-Verify takes lists as sets"
    if family == "lists" and kind(gold) != kind(answer):
        return "a bare list is a tuple in order, also where an item repeats: Math-Verify makes a set of it first"
    if family == "percents" and yes and ("%" in gold) != ("%" in answer or "percent" in answer):
        return "28 is no 28 % (C4): Math-Verify takes both, which lets a policy choose"
    if family == "units" and yes and re.findall("[a-z]+$", gold.rstrip("} ")) != re.findall("[a-z]+$", answer.rstrip("} ")):
        return "units of other dimensions or sizes differ (N7): Math-Verify drops them"
    if family == "units" and right and "dollars" in answer:
        return "a unit in plain words: Math-Verify reads a product of letters"
    return None


def published(folder):
    """Pairs and what is expected of them, from the parametrised tests."""
    for name in FILES:
        for node in ast.walk(ast.parse((Path(folder) / "tests" / f"{name}.py").read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parametrize"):
                continue
            names = [n.strip() for n in ast.literal_eval(node.args[0]).split(",")]
            for row in getattr(node.args[1], "elts", []):
                try:
                    case = dict(zip(names, ast.literal_eval(row)))
                except (ValueError, TypeError):
                    continue
                expected = case.get("expected", case.get("result"))
                if isinstance(case.get("gold"), str) and isinstance(case.get("pred"), str):
                    yield case["gold"].strip(), case["pred"].strip(), bool(expected)


def main(duet):
    pairs = Pairs(SEED).make(PAIRS)
    signs = ours(duet, [(g, a) for _, g, a in pairs])
    classes, unknown, differ = collections.Counter(), [], 0
    for (family, gold, answer), sign in zip(pairs, signs):
        right, yes = sign == "+", theirs(gold, answer)
        if right == yes:
            continue
        differ += 1
        why = classify(family, gold, answer, right, yes)
        classes[why] += 1
        if why is None:
            unknown.append((family, gold, answer, sign, yes))
    print(f"  {PAIRS - differ} of {PAIRS} pairs agree; {differ} differ:")
    for why, n in classes.most_common():
        print(f"  {n:5}  {why}")
    for case in unknown[:20]:
        print("  FAIL ", case)
    if os.environ.get("PEERS_MATH_VERIFY"):
        cases = list(published(os.environ["PEERS_MATH_VERIFY"]))
        signs = ours(duet, [c[:2] for c in cases])
        agree = sum((s == "+") == c[2] for s, c in zip(signs, cases))
        more = [c for s, c in zip(signs, cases) if s == "+" and not c[2]]
        print(f"  {agree} of {len(cases)} published cases agree; right for Duet, wrong for them: {more}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
