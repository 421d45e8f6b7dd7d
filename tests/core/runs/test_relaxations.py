"""Whole relaxations in a training's run: what is kept is what the weights of that batch give."""

import numpy as np
import pytest

from core import FULL, Experiment, Training, make
from core.catalogue import BadInput
from core.recorder import Recorder
from core.recording import BEAT, fits_alignment, record
from core.runs import Run
from core.runs.looks import Every
from core.runs.train import resume, train
from core.trace import Trace

BATCHES, T = 5, 4

CHOSEN = {
    "a network of three layers": {},
    "a deep chain, that descends in place": {"hidden": (8,) * 7, "steps": 12},
    "cross-entropy, with momentum": {"energy": "CrossEntropy", "dynamics": "HeavyBall"},
}


def experiment(hidden=(8, 8), **choices):
    """Layers on the smallest digits."""
    made = {name: make(name, v) if isinstance(v, str) else v for name, v in choices.items()}
    plain = {
        "network": make("network", "MLP", {"hidden": hidden}),
        "dataset": make("dataset", "SmallDigits"),
        "pretraining": "random",
        "steps": T,
    }
    return Experiment(**(plain | made))


@pytest.fixture(params=CHOSEN, ids=lambda name: name.replace(" ", "-"))
def chosen(request):
    return experiment(**CHOSEN[request.param])


def again(chosen, run, number):
    """The rows of a batch, made again from the weights with which it began."""
    images = chosen.dataset()
    network = chosen.build(images.shape, images.classes)
    network.load_state_dict(dict(run.weights(number)))
    network.touch()
    held = Training(chosen, images, network, aligned=fits_alignment(chosen, images))
    relaxation = held.relaxation(held.batches.batch(number), train=True)
    trace = Trace(network, limit=chosen.steps + 1 + BEAT)
    trace.recipes.append(chosen.recipe.to_dict())
    assert record(relaxation, trace, Recorder(network, chosen.batch_size, level=FULL)) == ""
    return trace.dataset()


@pytest.mark.oracle("other implementation")
def test_what_is_kept_is_what_the_weights_of_the_batch_give_and_changes_no_bit(memory, chosen):
    every = Every(weights=2, relaxations=2)
    run = train(chosen, memory / "a", batches=BATCHES, every=every)
    assert run.relaxations() == [0, 2, 4]
    for number in run.relaxations():
        found, expected = run.relaxation(number), again(chosen, run, number)
        assert {"energy", "error", "energy_sample", "force", "speed"} <= set(found)
        for name in set(expected) - {"log_term"}:
            assert np.array_equal(found[name], expected[name], equal_nan=True), (number, name)
        assert found["t"].values.tolist() == list(range(chosen.steps + 1))
        assert set(found["batch"].values) == {number}
    bare = train(chosen, memory / "b", batches=BATCHES, every=Every(weights=2))
    assert run.digest() == bare.digest() and bare.relaxations() == []
    assert set(run.dataset()) == set(bare.dataset())  # the rows of all batches stay as they are
    lean = run.relaxation(3)
    assert "force" not in lean and lean["t"].values.tolist() == list(range(chosen.steps + 1))
    mean = run.relaxation(2)["energy_sample"].mean("sample")
    assert np.allclose(mean, bare.relaxation(2)["energy"], rtol=1e-5, atol=1e-12)


def test_one_that_is_gone_on_with_in_the_midst_of_a_batch_has_it_whole(memory):
    chosen, every = experiment(), Every(relaxations=3)
    whole = train(chosen, memory / "a", batches=BATCHES, every=every)
    left = [3 * T + 2]  # between two steps of batch 3

    def stop():
        left[0] -= 1
        return not left[0]

    path = memory / "b"
    train(chosen, path, batches=BATCHES, every=every, stop=stop)
    assert 0 < Run(path).relaxation(3).sizes["step"] < T + 1
    run = resume(path)
    assert run.relaxations() == whole.relaxations() == [0, 3]
    for number in (0, 3):
        assert (
            run.relaxation(number)
            .drop_vars("seconds")
            .equals(whole.relaxation(number).drop_vars("seconds"))
        )


def test_rows_behind_a_divergence_are_not_kept(memory):
    fast = make("dynamics", "GradientDescent", {"rate": 10.0})
    run = train(
        experiment(dynamics=fast, steps=60), memory / "a", batches=2, every=Every(relaxations=1)
    )
    assert run.state.startswith("diverged")
    assert run.relaxation(0).sizes["step"] == run.rows()


def test_a_batch_that_is_not_there_is_refused(memory):
    run = train(experiment(), memory / "a", batches=2)
    with pytest.raises(BadInput, match=r"batch: 7; a batch 0\.\.1 of run a"):
        run.relaxation(7)
