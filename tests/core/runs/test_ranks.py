"""Several ranks train as one process does: the same numbers, and what happens if one of them dies.

The oracle is the training of one process with the global batch, which other tests judge.
"""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from core import BadInput, make
from core.ranks import Ranks
from core.runs import together
from core.runs.joint import check
from core.runs.looks import Every
from core.runs.run import Run
from core.runs.train import left, resume, train
from tests.faults import ranked
from tests.faults.killing import Elsewhere
from tests.faults.share import WHOLE

CASES = ranked.cases()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="missing: fork"),
]


def started(work, count, *args):
    """So many ranks, each in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [Elsewhere(work, rank, count, port, *args) for rank in range(count)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with what two ranks have trained: all cases."""
    folder = tmp_path_factory.mktemp("ranks")
    ranks = started(ranked.train_all, 2, str(folder), list(CASES))
    for one in ranks:
        said = one.end()
        assert said[1:] == list(CASES)
    return folder


@pytest.fixture(scope="module")
def threads():
    """One thread, as each rank has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def alone(name, folder, **more):
    """The same training by one process."""
    return train(CASES[name], folder / "alone", **({"batches": ranked.BATCHES} | more))


def weights(folder, name, rank):
    return load_file(folder / f"{name.replace(' ', '-')}.{rank}.safetensors")


def apart(found, expected):
    """Relative distance of all weights together."""
    both = [
        torch.cat([one[k].double().flatten() for k in sorted(one)]) for one in (found, expected)
    ]
    return float((both[0] - both[1]).norm() / both[1].norm())


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_are_one_process_with_the_double_batch(name, shared, threads, tmp_path):
    run = alone(name, tmp_path, every=ranked.looks(name))
    tolerance = 1e-6 if CASES[name].dtype == "float32" else 1e-12
    assert apart(weights(shared, name, 0), left(run.path).network.state_dict()) <= tolerance
    joint = Run(shared / name.replace(" ", "-"))
    for label in ("energy", "precision", "cost"):
        found, expected = (one.dataset()[label].values for one in (joint, run))
        np.testing.assert_allclose(found, expected, rtol=10 * tolerance, atol=tolerance)
    for label in {"accuracy", "update_norm", "smm", "rows"} & set(joint.batches()):
        found, expected = (one.batches()[label].values for one in (joint, run))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=tolerance)
    assert joint.manifest["about"]["ranks"] == 2


@pytest.mark.parametrize("name", CASES)
def test_all_ranks_end_with_the_same_bits(name, shared):
    one, two = (weights(shared, name, rank) for rank in range(2))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.row(68)
def test_a_rank_that_dies_is_named_and_the_ranks_go_on_to_the_same_bits(shared, tmp_path):
    first, second = started(ranked.die_at, 2, str(tmp_path), 2)
    assert second.end()[1:] == []
    begun = time.monotonic()
    (line,) = first.end()[1:]
    assert time.monotonic() - begun < 30
    assert line.startswith("lost: ranks: rank 1 of 2 no longer answers rank 0")
    run = Run(tmp_path / ranked.MORTAL.replace(" ", "-"))
    assert run.state.startswith("failed: RankLost: ranks: rank 1 of 2")
    for one in started(ranked.die_at, 2, str(tmp_path), 2):
        assert one.end()[1:] == [ranked.MORTAL]
    assert Run(run.path).said["resumed"][0]["number"] == 1
    for rank in range(2):
        found, expected = (weights(folder, ranked.MORTAL, rank) for folder in (tmp_path, shared))
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_one_process_goes_on_with_what_ranks_began(shared, threads, tmp_path):
    first, _ = started(ranked.die_at, 2, str(tmp_path), 2)
    first.end()
    run = resume(tmp_path / ranked.MORTAL.replace(" ", "-"))
    assert run.state == "finished"
    assert apart(left(run.path).network.state_dict(), weights(shared, ranked.MORTAL, 0)) < 1e-12


KILLED = """\
import os, sys
from core.runs.joint import Joint

begin = Joint._batch

def until(self, number):
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first and self.ranks.rank == {rank} and number == 2:
        os.kill(os.getpid(), 9)
    begin(self, number)

Joint._batch = until

from workbench import cli

sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.row(68)
@pytest.mark.parametrize("rank", [0, 1] if WHOLE else [1])
def test_torchrun_s_restart_goes_on_to_the_same_bits(rank, shared, tmp_path):
    name = ranked.MORTAL
    (tmp_path / "killed.py").write_text(KILLED.format(rank=rank))
    choices = {k: v for k, v in CASES[name].to_dict().items() if k != "schema"}
    (tmp_path / "r.toml").write_text(tomli_w.dumps(choices))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc-per-node", "2", "--max-restarts", "1", str(tmp_path / "killed.py")]
    words = ["train", "--recipe", "r.toml", "--batches", str(ranked.BATCHES), "--out", "run"]
    said = subprocess.run(
        [*launch, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert said.returncode == 0, said.stderr[-3000:]
    assert f"rank: {rank}" in said.stderr or f"local_rank: {rank}" in said.stderr
    assert f"{ranked.BATCHES} batches, " in said.stdout
    found = left(tmp_path / "run").network.state_dict()
    expected = weights(shared, name, 0)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


# What ranks cannot share --------------------------------------------------------------------------


def refused(ranks=2, every=None, **choices):
    """The line with which choices are refused."""
    experiment = replace(CASES["Forward float64"], **choices)
    images = experiment.dataset()
    network = replace(experiment, device="cpu").build(images.shape, images.classes)
    network.ranks = Ranks(0, ranks)
    with pytest.raises(BadInput) as found:
        check(experiment, network, every or Every())
    return str(found.value)


@pytest.mark.row(67)
def test_a_batch_that_the_ranks_do_not_divide():
    line = "batch_size: 20; a multiple of 3 ranks (18 or 21): each relaxes an equal share"
    assert refused(3) == line
    assert refused(32).startswith("batch_size: 20; a multiple of 32 ranks (32):")


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ({"tolerance": 1e-3}, "tolerance: 0.001; over ranks 0"),
        ({"precision": ("precision", "Learned")}, "precision: Learned; over ranks a schedule"),
        ({"dynamics": ("dynamics", "Langevin")}, "dynamics: Langevin; over ranks without noise"),
        ({"learning": ("learning", "Incremental", {"freeze": True})}, "learning.freeze: True;"),
        ({"every": Every(alignment=1)}, "every.alignment: 1; over ranks 0"),
        ({"every": Every(relaxations=1)}, "every.relaxations: 1; over ranks 0"),
        ({"device": "cuda:0"}, "device: cuda:0; over ranks cuda"),
        (
            {
                "network": ("network", "VGG", {"width": 1 / 64, "batch_norm": "batch"}),
                "dataset": ("dataset", "Digits"),
            },
            "network.batch_norm: batch; over ranks frozen or none",
        ),
    ],
)
def test_what_they_cannot_share(choices, line):
    made = {k: make(*v) if isinstance(v, tuple) else v for k, v in choices.items()}
    assert refused(**made).startswith(line)


def test_one_rank_alone_talks_to_nobody():
    one, sums = Ranks(), [torch.ones(2), None]
    one.add(sums)
    one.spread([torch.ones(1)])
    assert torch.equal(sums[0], torch.ones(2))
    assert torch.equal(one.gathered(sums[0]), torch.ones(2))
    assert (one.told(3), one.all_told(4)) == (3, [4])
    with one.after_first() as is_first:
        assert is_first


def test_a_run_that_has_all_its_batches_is_not_gone_on_with(tmp_path, threads):
    run = alone("Forward float64", tmp_path)
    assert together.resume(run.path, Ranks()) == "finished"
