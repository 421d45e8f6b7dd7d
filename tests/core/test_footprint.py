"""What an experiment needs at least is known before it is built."""

from dataclasses import dataclass

import pytest
import torch

from core import BadInput, Experiment, entry, footprint
from core.networks.mlp import MLP

SMALL = Experiment(network=MLP((5, 3)), batch_size=7, pretraining="random")


def test_the_footprint_is_counted_by_hand():
    found = footprint.footprint(SMALL, (1, 2, 2), 2)
    # (4 + 1) 5 + (5 + 1) 3 + (3 + 1) 2 weights; 4 + 5 + 3 + 2 units; 4 bytes each
    assert found.weights == 4 * (25 + 18 + 8)
    assert found.states == footprint.COPIES * 4 * 7 * 14
    assert footprint.footprint(SMALL.changed(dtype="float64"), (1, 2, 2), 2).weights == 8 * 51
    built = SMALL.build((1, 2, 2), 2)
    assert found.weights == sum(p.nbytes for p in built.parameters())


def test_asking_draws_no_random_numbers():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    footprint.footprint(SMALL, (1, 2, 2), 2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_is_not_there_is_refused_with_both_numbers():
    huge = SMALL.changed(network=MLP((65536,) * 2000))
    with pytest.raises(footprint.TooLarge) as caught:
        footprint.check(huge, (1, 28, 28), 10)
    line = str(caught.value)
    # 1999 (65536 + 1) 65536 + (784 + 1) 65536 + (65536 + 1) 10 weights of 4 bytes
    assert line.startswith("network: 3.43e+04 GB of weights and ")
    assert "for batch_size 7; cpu has " in line and issubclass(footprint.TooLarge, BadInput)


@pytest.mark.parametrize("rows", [0.0, 1e6])
def test_what_fits_is_not_refused(rows):
    footprint.check(SMALL, (1, 2, 2), 2, rows=rows)


def test_a_network_that_is_too_large_is_not_built(monkeypatch):
    monkeypatch.setattr(footprint, "memory", lambda device: 4 * 51)
    with pytest.raises(footprint.TooLarge):
        SMALL.build((1, 2, 2), 2)


def test_a_network_that_reads_its_weights_cannot_be_counted_and_is_built(scratch):
    @entry("network", "Reader", formula="W_1 h_0", source="this project")
    @dataclass(frozen=True)
    class Reader(MLP):
        """A network that scales its weights by their largest."""

        def __call__(self, shape, classes):
            network = super().__call__(shape, classes)
            float(network.example.detach().max())
            return network

    experiment = SMALL.changed(network=Reader((5,)))
    assert footprint.footprint(experiment, (1, 2, 2), 2) is None
    assert experiment.build((1, 2, 2), 2).top == 2


def test_a_trace_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(footprint, "memory", lambda device: 10**6)
    footprint.check(SMALL, (1, 2, 2), 2, rows=9e5)
    with pytest.raises(footprint.TooLarge, match=r"0\.001 GB of trace; cpu has 0\.001 GB: take"):
        footprint.check(SMALL, (1, 2, 2), 2, rows=1e6)


def test_a_machine_that_does_not_say_refuses_nothing(monkeypatch):
    monkeypatch.setattr(footprint, "memory", lambda device: None)
    footprint.check(SMALL.changed(network=MLP((65536,) * 2000)), (1, 2, 2), 2)


def test_the_memory_of_this_machine_can_be_asked():
    there, left = footprint.memory("cpu"), footprint.free("cpu")
    assert there is None or 2**27 < there
    assert left is None or 0 < left <= there
