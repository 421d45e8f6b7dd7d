"""What reads files and addresses: for any bytes a value, or a refusal in one line, and soon."""

import base64
import io
import json
import random
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from core.catalogue import BadInput, make
from core.experiment import Experiment
from core.own import toml as own_toml
from core.runs.packing import pack, unpack
from tests.faults.fuzzing import Count, cases
from tests.faults.share import WHOLE
from workbench import archives, files, links
from workbench.address import Address

ROOT = Path(__file__).parents[1]

SOON = 10.0
"""Seconds that no reading takes, whatever is read."""

RECIPE = """\
init = "Forward"
steps = 12
seed = 3
dtype = "float64"
batch_size = 20
[network]
name = "MLP"
hidden = [8, 8]
activation = "tanh"
[precision]
name = "Table"
rows = [[1.0, 0.5], [1.0, 1.0]]
[dynamics]
name = "HeavyBall"
rate = 0.1
momentum = 0.5
[weights]
name = "AdamW"
"""

NETWORK = """\
title = "Mine"
name = "FuzzedNetwork"
[[layer]]
name = "a"
modules = [{type = "Conv2d", in_channels = 1, out_channels = 2, kernel_size = 3}, {type = "ReLU"}]
[[layer]]
reads = ["a", "input"]
relay = true
[[layer]]
site = "pre"
shape = [10]
modules = [{type = "Flatten"}, {type = "Linear", in_features = 72, out_features = 10}]
"""

WORDS = [
    *("nan", "inf", "-1", "0", "1e400", "9" * 30, "true", "''", "[]", "[[]]", "{}", '"\\u0000"'),
    *("[a.b]", "[[layer]]", "x = 1", "=", '"', "'''", "#", "\n", "\x00", "\ufeff", "é", "𝔘"),
    *("Forward", "MLP", "name", "hidden", "../x", "__import__('os')", "<img src=x>", "1 = 1"),
]


def spoilt(text, seed):
    """A text after some cuts, copies and insertions."""
    draw = random.Random(seed)
    for _ in range(draw.randint(1, 4)):
        a, b = sorted(draw.randrange(len(text) + 1) for _ in range(2))
        b = min(b, a + draw.choice((0, 1, 5, 60)))
        new = draw.choice((draw.choice(WORDS), "", text[a:b] * 2, chr(draw.randrange(1, 0x3000))))
        text = text[:a] + new + text[b:]
    return text


def cut(data, seed):
    """Bytes after some flips, cuts and copies."""
    draw, held = random.Random(seed), bytearray(data)
    for _ in range(draw.randint(1, 6)):
        if not held:
            break
        at = draw.randrange(len(held))
        how = draw.randrange(4)
        if how == 0:
            held[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            held[at : at + 8] = draw.randbytes(8)
        elif how == 2:
            del held[at:]
        else:
            held[at:at] = held[:at][-draw.randrange(1, 64) :]
    return bytes(held)


def judged(read):
    """What was read, or None where it was refused in one line; it must not take long."""
    begun = time.monotonic()
    try:
        found = read()
    except BadInput as refused:
        line = str(refused)
        assert "\n" not in line and len(line) < 4000, line
        found = None
    assert time.monotonic() - begun < SOON
    return found


SEEDS = st.integers(0, 2**32 - 1)
TEXTS = st.one_of(
    SEEDS.map(lambda seed: ("spoilt", seed)),
    st.text(max_size=200).map(lambda text: ("text", text)),
    st.lists(st.sampled_from(WORDS), max_size=30).map(lambda words: ("text", " ".join(words))),
)


def drawn(text, case):
    return spoilt(text, case[1]) if case[0] == "spoilt" else case[1]


pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_any_recipe_is_choices_or_a_refusal(tmp_path, record_property):
    count, path = Count(), tmp_path / "r.toml"

    @cases(60, 30_000)
    @given(TEXTS)
    def fuzz(case):
        path.write_bytes(drawn(RECIPE, case).encode("utf-8", "replace"))
        choices = judged(lambda: files.read_recipe(path))
        if choices is not None:
            judged(lambda: Experiment(**choices))
        count.cases += 1

    fuzz()
    count.told(record_property, "recipes")


def test_any_file_of_a_network_is_one_or_a_refusal(tmp_path, record_property, scratch):
    count, path = Count(), tmp_path / "net.toml"

    @cases(30, 10_000)
    @given(TEXTS)
    def fuzz(case):
        from core import catalogue

        before = {kind: dict(found) for kind, found in catalogue._cards.items()}
        path.write_bytes(drawn(NETWORK, case).encode("utf-8", "replace"))
        judged(lambda: own_toml.read(path))
        judged(lambda: files.read_network(path))
        catalogue._cards.clear()
        catalogue._cards.update(before)
        count.cases += 1

    fuzz()
    count.told(record_property, "files of networks")


LOG = {
    "experiment": {"network": {"name": "MLP", "hidden": [8]}, "steps": 5, "seed": 1},
    "events": [
        {"command": "step", "args": {"n": 2}, "asked": 0, "applied": 0, "lane": 0, "row": 0},
        {"command": "change", "args": {"init": "Zero"}, "asked": 2, "applied": 2},
        {"command": "poke", "args": {"layer": "1", "how": "shift", "amount": 1}, "asked": 2,
         "applied": 2},
        {"command": "undo", "args": {"row": 1}, "asked": 2, "applied": 2},
    ],
    "taken": 4,
}  # fmt: skip

VALUES = [None, True, -1, 0, 1, 10**30, 1.5, float("inf"), "", "x", "MLP", [], [[]], {}, {"n": 1}]


def changed(data, draw):
    """Plain data with one of its places replaced, added or taken away."""
    places, stack = [], [(data, None, None)]
    while stack:
        value, parent, key = stack.pop()
        if parent is not None:
            places.append((parent, key))
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack.extend((one, value, k) for k, one in items)
    if not places:
        return data
    parent, key = draw.choice(places)
    how = draw.randrange(4)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, dict):
        parent[draw.choice(["n", "row", "name", "seed", "begin", "x" * 50])] = draw.choice(VALUES)
    else:
        parent[key] = draw.choice(VALUES)
    return data


def test_any_address_is_a_session_or_a_refusal(record_property):
    count = Count()

    @cases(80, 30_000)
    @given(SEEDS, st.text(max_size=80))
    def fuzz(seed, text):
        draw = random.Random(seed)
        data = {"log": json.loads(json.dumps(LOG)), "layout": {"tab": "maps"}}
        for _ in range(draw.randint(0, 3)):
            changed(data, draw)
        packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(data).encode())).decode()
        for state in (f"1.{packed}", f"1.{spoilt(packed, seed)}", text, f"1.{text}"):
            judged(lambda state=state: links.unpacked(state))
        held = Address.of({name: [text] for name in ("session", "run", "lane", "tour")}, "s")
        assert held.session.isascii() and 8 <= len(held.session) <= 32
        judged(lambda: replace(held, run="", state=text or "x")._asked(None))
        count.cases += 1

    fuzz()
    count.told(record_property, "addresses")


@pytest.mark.parametrize(
    "header", [None, b"5", b"{}", b'{"arrays": [{}], "more": {}}', b'{"arrays": 1, "more": {}}']
)
def test_a_head_without_what_it_needs_is_a_value_error(header):
    raw = b"\x01\0\0" if header is None else struct.pack("<I", len(header)) + header
    with pytest.raises(ValueError, match="head: "):
        unpack(zlib.compress(raw))


def test_any_bytes_are_data_or_a_refusal(tmp_path, record_property):
    """Samples, weights, traces and heads of runs, of which some bytes were changed."""

    network = make("network", "MLP", {"hidden": [4]})((1, 1, 6), 3)
    weights = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    save_file(weights, tmp_path / "whole.safetensors")
    text = io.BytesIO()
    np.savez(text, x=np.ones((3, 6)), y=np.array([0, 1, 2]), classes=3)
    packed = pack({"energy": np.ones((4, 3), np.float32), "phase": np.array(["a", "b"])}, {"k": 1})
    count, path = Count(), tmp_path / "spoilt"

    @cases(50, 20_000)
    @given(SEEDS)
    def fuzz(seed):
        path.write_bytes(cut((tmp_path / "whole.safetensors").read_bytes(), seed))
        judged(lambda: files.read_weights(path, network))
        path.write_bytes(cut(text.getvalue(), seed))
        judged(lambda: archives.read_data(path))
        with zipfile.ZipFile(path, "w") as archive:  # the archive is sound, its members are not
            for name, values in (("x", np.ones((3, 6))), ("y", np.array([0, 1, 2]))):
                member = io.BytesIO()
                np.save(member, values)
                archive.writestr(f"{name}.npy", cut(member.getvalue(), seed))
        judged(lambda: archives.read_data(path))
        try:
            unpack(cut(packed, seed))
            unpack(zlib.compress(cut(zlib.decompress(packed), seed)))
        except ValueError:
            pass
        count.cases += 1

    fuzz()
    count.told(record_property, "samples, weights and parts of runs")


READS = """
import os, signal, sys
from tests.test_fuzzed_readers import cut
from workbench import drawing, figures
from workbench.refusals import DAMAGED, Refused

drawing.OPENS = 3.0
whole, path = open(sys.argv[1], "rb").read(), sys.argv[1] + ".spoilt"
for seed in range(int(sys.argv[2])):
    open(path, "wb").write(cut(whole, seed))
    child = os.fork()
    if not child:
        code = 1
        signal.alarm(30)
        try:
            drawing._loaded([path])
            code = 0
        except Refused as refused:
            code = 0 if str(refused).startswith("trace: ") else 2
        finally:
            os._exit(code)
    ended = os.waitpid(child, 0)[1]
    if os.waitstatus_to_exitcode(ended) not in (0, DAMAGED):
        print("seed", seed, "ended by", ended)
"""
"""One process for each: HDF5 that has failed to read many files may end the next reading."""


def test_any_trace_is_one_or_a_refusal(tmp_path, record_property):
    with netCDF4.Dataset(tmp_path / "whole.nc", "w") as held:
        held.createDimension("step", 40)
        held.createDimension("layer", 3)
        held.createVariable("energy", "f4", ("step", "layer"), zlib=True)[:] = 1.0
        held.createVariable("step", "i8", ("step",))[:] = range(40)
        held.createVariable("phase", str, ("step",))[:] = np.array(["relax"] * 40, object)
        held.experiment = "{}"
    number = 2_000 if WHOLE else 20
    command = [sys.executable, "-c", READS, str(tmp_path / "whole.nc"), str(number)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr[-2000:]
    record_property("count: fuzz cases without a find: traces", number)
