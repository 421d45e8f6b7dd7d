"""Recording a whole relaxation: every row, and the guard against divergence."""

import numpy as np
import pytest
import torch

from core import Experiment, Recorder, Trace
from core.datasets.small_digits import SmallDigits
from core.diagnostics import diverged
from core.dynamics.gradient import GradientDescent
from core.inits.zero import Zero
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.recorder import FULL, LEAN, Chunk
from core.recording import BEAT, Guard, record, relax
from core.tasks.dream import Dream
from core.tasks.reconstruct import Reconstruct
from core.training import Training
from tests.problems import linear_net, relaxation

SMALL = Experiment(
    dataset=SmallDigits(), network=MLP(hidden=(8, 6)), pretraining="random", steps=5, batch_size=10
)


def totals_of(made):
    return torch.stack([step.free_energy.total(step.states) for step in made])


def kept(rate, steps):
    """A recorded relaxation of the linear network: trace, sentence and F of every row."""
    made = relaxation(linear_net(), dynamics=GradientDescent(rate), steps=steps)
    trace = Trace(made.network)
    said = record(made, trace, Recorder(made.network, 1, capacity=BEAT))
    again = relaxation(linear_net(), dynamics=GradientDescent(rate), steps=steps)
    return trace, said, totals_of(again)


@pytest.mark.parametrize("steps", [1, BEAT - 2, BEAT - 1, BEAT, 3 * BEAT + 5])
def test_every_row_is_kept_to_the_end(steps):
    trace, said, totals = kept(0.1, steps)
    data = trace.dataset()
    assert said == ""
    assert data.t.values.tolist() == list(range(steps + 1))
    np.testing.assert_allclose((data.energy * data.precision).sum("layer"), totals, rtol=1e-13)


@pytest.mark.parametrize("rate", [0.52, 0.6, 1.0, 5.0])
def test_a_relaxation_that_diverges_is_kept_up_to_the_row_where_it_did(rate):
    trace, said, totals = kept(rate, 400)
    at = diverged(totals)
    data = trace.dataset()
    assert data.t.values.tolist() == list(range(at + 1))
    assert said.startswith(f"diverged at step {at} of batch 0, layer ")
    assert int(said.split("layer ")[1][0]) - 1 == int(data.energy[-1].argmax("layer"))
    np.testing.assert_allclose((data.energy * data.precision).sum("layer"), totals[: at + 1])


def made_up(energies, start=0):
    count = len(energies)
    rows = {
        "energy": np.array(energies)[:, None],
        "precision": np.ones((count, 1)),
        "cost": np.zeros(count),
        "step": np.arange(start, start + count),
        "t": np.arange(start, start + count),
        "batch": np.zeros(count, int),
    }
    return Chunk(rows)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
@pytest.mark.parametrize(
    "energies",
    [
        [1.0, 2, 3, 4, 5, 6, 7, 8, 9],
        [1.0, 2, 3, 4, 5, 4e6, 6e6, 1],
        [1.0, 9, 3, 4, 5, 8e6, 8.9e6, 9.1e6],
        [1.0, np.nan, 3],
        [np.inf, 2],
        [1.0, 1, 1, 1, 1, 1, 1, 1, 1, -np.inf],
    ],
)
def test_the_guard_finds_the_same_row_however_the_rows_are_handed_over(energies, size):
    guard = Guard(Trace(linear_net()[0]))
    at = diverged(torch.tensor(energies, dtype=torch.float64))
    for start in range(0, len(energies), size):
        chunk, said = guard.look(made_up(energies[start : start + size], start))
        if said:
            assert chunk.rows["t"][-1] == at
            return
        assert chunk.count == len(energies[start : start + size])
    assert at is None


@pytest.mark.parametrize(
    "experiment",
    [
        SMALL,
        SMALL.changed(task=Dream(), init=Zero()),
        SMALL.changed(
            task=Reconstruct(), network=Decoder(latent=3, hidden=(5,)), init=Zero(), batch_size=12
        ),
    ],
)
@pytest.mark.parametrize("level", [LEAN, FULL])
def test_relaxing_an_experiment_is_what_its_training_would_do_with_the_batch(experiment, level):
    data = relax(experiment, batch=2, level=level, align=True)
    images = experiment.dataset()
    network = experiment.build(images.shape, images.classes)
    aligned = experiment.batch_size % 10 == 0
    training = Training(experiment, images, network, aligned=aligned, watched=True)
    made = training.relaxation(training.batches.batch(2), train=False)
    for t, step in enumerate(made):
        energy = step.free_energy.energies(step.states).mean(1)
        np.testing.assert_allclose(data.energy[t], energy, rtol=1e-6)
    assert data.sizes["step"] == 6
    assert data.attrs["diverged"] == ""
    assert data.attrs["data"] == "SmallDigits"
    assert data.attrs["fingerprint"] == images.fingerprint
    assert ("energy_sample" in data) == (level == FULL)
    assert "alignment" in data


def test_relaxing_twice_gives_the_same_rows():
    one, two = relax(SMALL), relax(SMALL)
    assert one.identical(two)


def test_a_task_s_images_are_recorded():
    dream = relax(SMALL.changed(task=Dream(), init=Zero()))
    assert dream.image.shape == (6, 8, 1, 8, 8)
    decoder = Decoder(latent=3, hidden=(5,))
    found = relax(SMALL.changed(task=Reconstruct(), network=decoder, init=Zero()))
    assert found.prediction.shape == found.swept.shape == (6, 8, 1, 8, 8)
    assert "probability" in relax(SMALL)


def test_an_experiment_that_diverges_says_where():
    data = relax(SMALL.changed(dynamics=GradientDescent(10.0), steps=300))
    assert data.attrs["diverged"].startswith("diverged at step ")
    assert data.sizes["step"] < 301
