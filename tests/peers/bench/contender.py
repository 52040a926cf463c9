"""Who is measured: Duet, called as a user calls it, and other people's programs, each in a process that takes turns."""
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
LIMIT = float(os.environ.get("BENCH_LIMIT", 1800))  # seconds for a reading, or for getting ready


class Failed(Exception):
    pass


def pinned(threads):
    """The same cores and thread count for everybody; freed memory stays with the process, as a peer's user would tune it."""
    which = ",".join(map(str, machine.cores(threads)))
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="false",
               HF_HUB_OFFLINE="1", PYTHONWARNINGS="ignore", MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 34))
    return ["taskset", "-c", which], env


def tail(text, n=3):
    return " / ".join(line.strip() for line in text.strip().splitlines()[-n:])[-300:]


class Peer:
    """A worker (worker.py). made: returns the job's missing members, such as a file that is made only when it is needed."""

    def __init__(self, name, kind, job, threads, made=None):
        self.name, self.kind, self.threads, self.made = name, kind, threads, made
        self.job = dict(job, threads=threads)
        self.note, self.process = "", None

    def open(self):
        if self.made:
            self.job.update(self.made())
        if self.kind != "start":
            self.begin()

    def begin(self):
        pin, env = pinned(self.threads)
        self.errors = open(os.environ["BENCH_WORK"] + f"/{self.name.replace(' ', '-')}.err", "w+")
        self.job["born"] = time.time()
        command = [*pin, sys.executable, str(HERE / "worker.py"), self.kind, json.dumps(self.job)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=env)
        self.note = self.answer()["note"]

    def answer(self):
        end = time.time() + LIMIT
        while time.time() < end:
            ready, _, _ = select.select([self.process.stdout], [], [], min(5, max(0, end - time.time())))
            if not ready:
                continue
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                self.errors.seek(0)
                raise Failed(f"ended with {self.process.returncode}: {tail(self.errors.read())}")
            if line.startswith("{"):
                return json.loads(line)
        raise Failed(f"no reading within BENCH_LIMIT={LIMIT:.0f} s")

    def measure(self):
        if self.kind == "start":  # a reading is a process
            self.begin()
            reading = self.answer()
            self.close()
            return reading
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Duet:
    """arguments: of the program; ranks > 1: by launch/run.sh. read: its output -> a reading."""

    def __init__(self, program, arguments, threads, read, ranks=1, name="duet"):
        self.name, self.threads, self.read, self.note = name, threads, read, ""
        start = [str(ROOT / "launch/run.sh"), "-n", str(ranks)] if ranks > 1 else []
        self.command = [*start, str(program), *map(str, arguments)]

    def open(self):
        pass

    def measure(self):
        pin, env = pinned(self.threads)
        if self.command[0].endswith("run.sh"):
            env["OMP_NUM_THREADS"] = "1"  # a rank a core
        try:
            done = subprocess.run([*pin, *self.command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            raise Failed(f"no reading within BENCH_LIMIT={LIMIT:.0f} s")
        if done.returncode:
            raise Failed(f"exit {done.returncode}: {tail(done.stderr)}")
        return self.read(done)

    def close(self):
        pass


def read_train(done):
    o = json.loads(done.stdout)
    seconds = o["seconds_per_step"]["median"]
    return dict(seconds=seconds, processor=seconds * o["processor_share"]["median"] * o["machine"]["ranks"], tokens=o["tokens_per_step"],
                share=o["processor_share"]["median"], fraction=o["fraction_of_library"]["median"],
                fraction_by_processor=o["fraction_of_library_by_processor"]["median"], note=f"kernels {o['machine']['kernels']}")


def read_decode(done):
    o = json.loads(done.stdout)
    seconds = o["seconds_per_rollout"]["median"]
    return dict(seconds=seconds, processor=seconds * o["processor_share"]["median"], tokens=o["slots"] * o["answer_tokens"],
                share=o["processor_share"]["median"], fraction=o["products_fraction"]["median"],
                fraction_by_processor=o["products_fraction_by_processor"]["median"], note=f"kernels {o['machine']['kernels']}")


class DuetRun(Duet):
    """duet train on a recipe in a folder of its own, which goes when it was read; the last step is the reading. With start: from
    the start to the end of the first step, as the log says it. length: what each of the answers must have."""

    def __init__(self, program, recipe, threads, ranks, work, start=False, length=0, answers=0, name="duet"):
        self.out, self.start, self.length, self.answers = Path(work) / f"{name}-run", start, length, answers
        path = Path(work) / f"{name}.yaml"
        path.write_text(recipe)
        super().__init__(program, ["train", path, "--set", f"out={self.out}"], threads, self.read_run, ranks, name)

    def measure(self):
        shutil.rmtree(self.out, ignore_errors=True)
        try:
            return super().measure()
        finally:
            shutil.rmtree(self.out, ignore_errors=True)

    def read_run(self, done):
        lines = [json.loads(line) for line in (self.out / "metrics.jsonl").read_text().splitlines()]
        last = lines[0 if self.start else -1]
        reading = dict(seconds=last["time/step"], rollout=last.get("time/rollout"), learn=last.get("time/learn"))
        if self.start:
            found = re.search(r"started in ([\d.]+) s", done.stderr + done.stdout)
            if not found:
                raise Failed("the log does not say how long the start took")
            reading["seconds"] += float(found.group(1))
        if self.length:
            if last["response_length/mean"] != self.length or not last["time/learn"]:
                raise Failed(f"answers of {last['response_length/mean']} tokens, not {self.length}, or nothing was learned")
            reading["tokens"] = self.length * self.answers
        return reading
