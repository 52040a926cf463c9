#!/usr/bin/env python3
"""A grader for Duet in Python: a line of JSON in, a line of JSON out (docs/REWARDS.md).

Put your own rule, or a library's, into grade(); the rest stays as it is. Try it by hand:

    echo '{"id": "1", "answer": "so <answer>7</answer>", "expected": "7"}' | python3 verifier.py
"""
import json
import re
import sys

# Replies alone go to stdout. What libraries print would be taken for replies, so it goes to stderr.
replies = sys.stdout
sys.stdout = sys.stderr


def grade(answer, expected, prompt, tests, language):
    """The reward, a number; raise an exception where an answer cannot be graded."""
    found = re.findall(r"<answer>(.*?)</answer>", answer, re.DOTALL)
    if not found or expected is None:
        return 0.0
    return 1.0 if found[-1].strip() == expected.strip() else 0.0


def main():
    for line in sys.stdin:
        request = json.loads(line)
        reply = {"id": request["id"]}
        try:
            reply["reward"] = grade(request["answer"], request.get("expected"),
                                    request.get("prompt"), request.get("tests"),
                                    request.get("language"))
        except Exception as error:  # this answer is lost, and counted; the next one is not
            reply["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(reply), file=replies, flush=True)


main()
