"""Kept memory: the next step finds the pages that the last one had."""

import subprocess
import sys

import pytest

from core import keep_memory
from core.allocator import give_back

STEPS = """
import resource
def step():
    tensors = [torch.ones(1 << 20) for _ in range(8)]  # 4 MiB each
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


ENDS = """
import torch
from core.allocator import give_back, keep_memory
assert keep_memory()
torch.set_num_threads(1)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
torch.ones(1)
before = resident()
tensors = [torch.ones(1 << 20) for _ in range(64)]
held = resident()
del tensors
kept = resident()
assert give_back()
print(held - before, kept - before, resident() - before)
"""

GLIBC = pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="missing: Linux with glibc, whose mallopt keep_memory asks; elsewhere it answers False",
)


@pytest.fixture(scope="module")
def said():
    """What a process says that keeps its memory: first what it held, then its page faults."""
    command = [sys.executable, "-c", ENDS + STEPS]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(one) for one in run.stdout.split()]


@GLIBC
def test_the_pages_of_one_step_serve_the_next(said):
    asked = 20 * 8 * (4 << 20) // 4096  # all of them, were each page taken anew
    assert said[3] < 0.01 * asked


@GLIBC
def test_what_has_ended_is_given_back(said):
    held, kept, left = said[:3]
    asked = 64 * (4 << 20)
    assert held >= asked and kept > 0.9 * asked and left < 0.1 * asked


def test_it_says_whether_the_allocator_takes_the_wish(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_memory() is False and give_back() is False
