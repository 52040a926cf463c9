"""The program under test, called as a user calls it."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT_FILE = Path(__file__).parent / "text.txt"  # to be scored: written for this, so no model has read it
TEXT = TEXT_FILE.read_text("utf-8")
QUESTIONS = ["What is the capital of France?", "What is 12 + 30?", "Write a sentence about the sea.", "Why is the sky blue?",
             "List three animals that can fly.", "Translate \"good morning\" into Spanish."]


def fail(text):
    sys.exit(f"  FAIL {text}")


class Duet:
    def __init__(self, program):
        self.program = str(Path(program).resolve())

    def __call__(self, *arguments, ranks=1, given=None):
        """Standard output."""
        start = [str(ROOT / "launch/run.sh"), "-n", str(ranks)] if ranks > 1 else []
        command = [*start, self.program, *map(str, arguments)]
        done = subprocess.run(command, input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            fail(f"{' '.join(command)}\n{done.stderr}")
        return done.stdout

    def refusal(self, *arguments):
        """What it says when it must refuse."""
        done = subprocess.run([self.program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 2:
            fail(f"{arguments}: exit {done.returncode}, not 2\n{done.stderr}")
        return done.stderr

    def lines(self, *arguments, given):
        """JSON Lines in and out."""
        return [json.loads(line) for line in self(*arguments, given="".join(json.dumps(g) + "\n" for g in given)).splitlines()]

    def score(self, model, sequences, *sets, ranks=1):
        """Log-probabilities of the tokens behind the first; sequences: (prompt ids, answer ids)."""
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
            f.writelines(json.dumps(dict(prompt_ids=p, answer_ids=a)) + "\n" for p, a in sequences)
            f.flush()
            return [json.loads(line)["logp"] for line in self("score", model, f.name, *settings(sets), ranks=ranks).splitlines()]

    def greedy(self, model, prompts, tokens, *sets, ranks=1):
        """Answers as texts."""
        said = self("sample", model, *prompts, "--temperature", 0, "--max-new", tokens, *settings(sets), ranks=ranks)
        answers = []
        for i, prompt in enumerate(prompts):
            head = prompt + "\n"
            if not said.startswith(head):
                fail(f"duet sample prints no answer to {prompt!r}:\n{said}")
            following = f"\n{prompts[i + 1]}\n" if i + 1 < len(prompts) else "\n"
            end = said.index(following, len(head)) if i + 1 < len(prompts) else len(said) - 1
            answers.append(said[len(head):end].removesuffix(" ..."))
            said = said[end + 1:]
        return answers


def settings(sets):
    return [word for s in sets for word in ("--set", s)]


def scratch():
    """A folder for models, gone at the end of a with."""
    return tempfile.TemporaryDirectory(dir=os.environ.get("PEERS_SCRATCH"))
