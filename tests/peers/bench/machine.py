"""The machine a measurement is made on: its cores, its instruction set, and whether it has other things to do."""
import os
import re
from pathlib import Path

BUSY_SHARE, BUSY_STEAL = 0.9, 0.02  # as trainer/bench/busy.h
FLAGS = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"]


def cores(n):
    """The first n cores that this process may use, as a list for taskset."""
    return sorted(os.sched_getaffinity(0))[:n]


def instruction_sets():
    flags = set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M).group(1).split())
    return [f for f in FLAGS if f in flags]


def has_bf16():
    return bool({"avx512_bf16", "amx_bf16"} & set(instruction_sets()))


def has_amx():
    return "amx_bf16" in instruction_sets()


def model_name():
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found.group(1) if found else "unknown"


def ticks():
    t = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(t), t[7]


class Watch:
    """Between start and stop: what the hypervisor took, and how many processes wanted to run at the end."""

    def __init__(self):
        self.all, self.stolen = ticks()

    def stop(self, share):
        """share: processor seconds that the measured process had of those it asked for, None: unknown."""
        every, stolen = ticks()
        steal = (stolen - self.stolen) / max(every - self.all, 1)
        load = os.getloadavg()[0]
        busy = load > os.cpu_count() + 1 or steal > BUSY_STEAL or (share is not None and share < BUSY_SHARE)
        return dict(load=round(load, 2), steal=round(steal, 4), share=share, busy=busy)
