"""The recorder: rows against direct computation, and rings that lose nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core import FULL, LEAN, Phase, Recorder, Relaxation
from core.diagnostics import alignment, backprop_by_layer, likeness
from core.dynamics.gradient import HeavyBall
from core.energies.cross_entropy import CrossEntropy
from core.energies.squared_error import SquaredError
from core.inits.normal import Normal
from core.learning.backprop import Backprop
from core.learning.local import Incremental
from core.precisions.spiking import Spiking
from tests.problems import labelled, relaxation, tanh_chain, tanh_mlp

ROWS = (
    "energy",
    "precision",
    "cost",
    "energy_sample",
    "force",
    "speed",
    "activity",
    "prediction_drift",
)
RECONSTRUCTED = ("prediction", "prediction_mse", "swept", "swept_mse")


def relaxing(problem=None, steps=6, **choices):
    """A relaxation of a network whose image is its input."""
    network, clamped = problem or tanh_mlp()
    network.image = 0
    return relaxation(
        (network, clamped),
        **{
            "init": Normal(sd=0.5),
            "generator": torch.Generator().manual_seed(0),
            "precision": Spiking(rest=0.3),
            "dynamics": HeavyBall(0.1),
            "steps": steps,
            **choices,
        },
    )


def recorded(made, drain_every=None, batch=0, **options):
    """The chunks and the steps of a relaxation, drained every so many rows."""
    count = len(made.states[0])
    recorder = Recorder(made.network, count, **options)
    chunks, steps = [], []
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=batch, recipe_id=0)
        steps.append(step)
        if drain_every and (row + 1) % drain_every == 0:
            chunks.append(recorder.drain())
    last = recorder.drain()
    return [chunk for chunk in [*chunks, last] if chunk is not None], steps


def rms(x):
    return float(x.detach().double().square().mean().sqrt())


def test_every_row_is_what_is_computed_directly():
    (chunk,), steps = recorded(relaxing())
    rows = chunk.rows
    assert chunk.count == 7
    for n, step in enumerate(steps):
        h, pi = step.states, step.free_energy.precision
        network = step.free_energy.network
        mu = [network.maps[str(i)](h[i - 1]).detach() for i in network.layers]
        e = [h[i] - m for i, m in zip(network.layers, mu, strict=True)]
        energy = torch.stack([0.5 * one.square().sum(1) for one in e])  # (L, B)
        np.testing.assert_allclose(rows["energy_sample"][n], energy, rtol=1e-13)
        np.testing.assert_allclose(rows["energy"][n], energy.mean(1), rtol=1e-13)
        np.testing.assert_array_equal(rows["precision"][n], pi)
        leaves = [one.clone().requires_grad_(0 < i < 5) for i, one in enumerate(h)]
        total = sum(
            p * 0.5 * (leaves[i] - network.maps[str(i)](leaves[i - 1])).square().sum()
            for i, p in zip(network.layers, pi, strict=True)
        )
        total.backward()
        force = [0.0 if one.grad is None else rms(one.grad) for one in leaves]
        np.testing.assert_allclose(rows["force"][n], force, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(rows["activity"][n], [rms(one) for one in h], rtol=1e-13)
        old = steps[n - 1].states if n else h
        speed = [rms(a - b) for a, b in zip(h, old, strict=True)]
        np.testing.assert_allclose(rows["speed"][n], speed, rtol=1e-12, atol=1e-16)
        network.zero_grad()


def test_rows_say_where_they_are_from():
    made = relaxing(steps=2)
    recorder = Recorder(made.network, 4)
    for row, _ in enumerate(made, start=40):
        recorder.take(made, row=row, batch=3, recipe_id=5)
    rows = recorder.drain().rows
    assert rows["step"].tolist() == [40, 41, 42]
    assert rows["batch"].tolist() == [3, 3, 3]
    assert rows["t"].tolist() == [0, 1, 2]
    assert rows["T"].tolist() == [2, 2, 2]
    assert rows["phase"].tolist() == ["relax"] * 3
    assert rows["recipe_id"].tolist() == [5, 5, 5]


@pytest.mark.parametrize("options", [{}, {"drain_every": 1}, {"drain_every": 3}, {"capacity": 2}])
@pytest.mark.parametrize("capacity", [256, 7, 3, 1])
def test_many_small_chunks_are_one_big_one(options, capacity):
    (whole,), _ = recorded(relaxing(), shows=("probability", "image"), align=True)
    options = {"capacity": capacity, **options}
    chunks, _ = recorded(relaxing(), shows=("probability", "image"), align=True, **options)
    for part in ("rows", "frames"):
        one = getattr(whole, part)
        assert all(set(getattr(chunk, part)) == set(one) for chunk in chunks)
        for name, values in one.items():
            joined = np.concatenate([getattr(chunk, part)[name] for chunk in chunks])
            np.testing.assert_array_equal(joined, values)


def test_a_drained_chunk_is_a_copy():
    made = relaxing(steps=20)
    recorder = Recorder(made.network, 4, shows=["image"], capacity=4)
    held, copies = [], []
    for row, _ in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        if row % 3 == 2:
            chunk = recorder.drain()
            for values in (*chunk.rows.values(), *chunk.frames.values()):
                held.append(values)
                copies.append(values.copy())
    for values, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(values, copy)


def test_an_empty_recorder_has_nothing_to_give():
    made = relaxing()
    recorder = Recorder(made.network, 4)
    assert recorder.drain() is None
    recorder.take(made, row=0, batch=0, recipe_id=0)
    assert recorder.drain().count == 1
    assert recorder.drain() is None


def test_recording_does_not_disturb_the_relaxation():
    one, two = relaxing(), relaxing()
    recorded(one, align=True, shows=("probability", "image"))
    two.run()
    for a, b in zip(one.states, two.states, strict=True):
        assert torch.equal(a, b)
    assert all(p.grad is None for p in one.network.parameters())


def test_lean_rows_are_energies_and_precisions_only():
    (lean,), _ = recorded(relaxing(), level=LEAN)
    (full,), _ = recorded(relaxing(), level=FULL)
    about = {"step", "batch", "t", "phase", "recipe_id", "T"}
    assert set(lean.rows) == {"energy", "precision", "cost"} | about
    assert set(full.rows) == set(ROWS) | about
    for name in lean.rows:
        np.testing.assert_array_equal(lean.rows[name], full.rows[name])
    assert not lean.frames


def test_alignment_is_recorded_and_is_one_for_backprop():
    made = relaxing()
    (chunk,), steps = recorded(made, align=True)
    for n, step in enumerate(steps):
        np.testing.assert_allclose(chunk.rows["alignment"][n], alignment(step), rtol=1e-13)
    (chunk,), _ = recorded(relaxing(learning=Backprop()), align=True)
    np.testing.assert_allclose(chunk.rows["alignment"], 1.0, rtol=1e-13)


def test_the_other_comparisons_with_backprop_are_recorded_with_it():
    (chunk,), steps = recorded(relaxing(), align=True)
    for n, step in enumerate(steps):
        found = likeness(step)
        np.testing.assert_allclose(chunk.rows["update_ratio"][n], found.ratio, rtol=1e-13)
        np.testing.assert_array_equal(chunk.rows["agreement"][n], found.agreement)
    (chunk,), _ = recorded(relaxing(learning=Backprop()), align=True)
    np.testing.assert_allclose(chunk.rows["update_ratio"], 1.0, rtol=1e-13)
    np.testing.assert_array_equal(chunk.rows["agreement"], 1.0)


def test_drift_is_how_far_each_prediction_has_moved_since_the_first_step():
    (chunk,), steps = recorded(relaxing())
    network, first = steps[0].free_energy.network, steps[0].states
    for n, step in enumerate(steps):
        expected = [
            rms(network.maps[str(i)](step.states[i - 1]) - network.maps[str(i)](first[i - 1]))
            for i in network.layers
        ]
        np.testing.assert_allclose(chunk.rows["prediction_drift"][n], expected, rtol=1e-12)
    assert (
        not chunk.rows["prediction_drift"][0].any()
        and not chunk.rows["prediction_drift"][:, 0].any()
    )
    assert (chunk.rows["prediction_drift"][1:, 1:] > 0).all()


def test_v3_drift_by_hand():
    # h_2 goes from -0.6000182751 to 0.1742037357 in three steps, h_1 from 0.4621171573 to
    # 0.3602660161; mu_2 = tanh(-1.5 h_1), mu_3 = 2 h_2.
    made = relaxation(tanh_chain(), steps=3)
    (chunk,), _ = recorded(made)
    moved = math.tanh(-1.5 * 0.3602660161) - math.tanh(-1.5 * 0.4621171573)
    expected = [0.0, moved, 2 * (0.1742037357 + 0.6000182751)]
    np.testing.assert_allclose(chunk.rows["prediction_drift"][3], expected, rtol=0, atol=3e-10)


def test_drift_is_that_of_the_states_alone_where_weights_move_too():
    network, clamped = tanh_mlp()
    made = relaxing(
        (network, clamped),
        learning=Incremental(),
        optimiser=torch.optim.SGD(network.parameters(), lr=0.5),
    )
    recorder, first = Recorder(network, 4), made.states
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        maps = [network.maps[str(i)] for i in network.layers]
        pairs = zip(maps, step.states[:-1], first[:-1], strict=True)
        expected = [rms(one(h) - one(old)) for one, h, old in pairs]
        np.testing.assert_allclose(
            recorder.drain().rows["prediction_drift"][0], expected, rtol=1e-12
        )


def test_alignment_follows_a_change_of_the_learning_rule():
    made = relaxing()
    recorder = Recorder(made.network, 4, align=True)
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        if step.moment.t == 2:
            made.recipe = replace(made.recipe, learning=Backprop())
    found = recorder.drain().rows["alignment"]
    assert (abs(found[:3] - 1) > 1e-6).any(axis=1).all()
    np.testing.assert_allclose(found[3:], 1.0, rtol=1e-12)


@pytest.mark.parametrize("moves", ["nothing", "weights", "the input", "the target"])
def test_backprop_is_made_anew_only_where_its_data_or_weights_are_others(moves, monkeypatch):
    network, clamped = tanh_mlp()
    options = {}
    if moves == "weights":
        options["learning"] = Incremental()
        options["optimiser"] = torch.optim.SGD(network.parameters(), lr=0.5)
    made, made_anew = relaxing((network, clamped), **options), []
    recorder = Recorder(network, 4, align=True)

    def counted(step):
        made_anew.append(step.moment.t)
        return backprop_by_layer(step)

    monkeypatch.setattr("core.recorder.backprop_by_layer", counted)
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        found, expected = recorder.drain().rows, likeness(step)
        for name in ("cosine", "ratio", "agreement"):
            row_of = {"cosine": "alignment", "ratio": "update_ratio"}.get(name, name)
            np.testing.assert_array_equal(found[row_of][0], getattr(expected, name))
        if moves == "the input":
            made.states[0].mul_(1.01)
        elif moves == "the target":
            made.states[-1].mul_(1.01)
    assert made_anew == ([0] if moves == "nothing" else list(range(row + 1)))


def test_probabilities_are_the_softmax_of_the_output_s_prediction():
    problem, _ = labelled()
    (chunk,), steps = recorded(relaxing(problem), shows=["probability"])
    for n, step in enumerate(steps):
        mu = problem[0].maps["3"](step.states[2]).detach()
        np.testing.assert_allclose(chunk.rows["probability"][n], mu.softmax(1), rtol=1e-13)
    np.testing.assert_allclose(chunk.rows["probability"].sum(2), 1.0)


def test_where_an_energy_is_not_quadratic_errors_are_recorded():
    problem, _ = labelled()
    problem[0].give_output_energy(CrossEntropy())
    (chunk,), steps = recorded(relaxing(problem))
    for n, step in enumerate(steps):
        errors = [rms(e) for e in step.free_energy.errors(step.states)]
        np.testing.assert_allclose(chunk.rows["error"][n], errors, rtol=1e-13)
        y, mu = step.states[3], problem[0].maps["3"](step.states[2]).detach()
        assert chunk.rows["error"][n][2] == pytest.approx(rms(y - mu.softmax(1)))


def test_rows_under_moving_weights_are_measured_with_the_weights_of_their_step():
    network, clamped = tanh_mlp()
    made = relaxing(
        (network, clamped),
        learning=Incremental(),
        optimiser=torch.optim.SGD(network.parameters(), lr=0.5),
    )
    recorder = Recorder(network, 4)
    for row, step in enumerate(made):
        recorder.take(made, row=row, batch=0, recipe_id=0)
        h = step.states
        expected = [
            float(0.5 * (h[i] - network.maps[str(i)](h[i - 1])).detach().square().sum() / 4)
            for i in network.layers
        ]
        (energy,) = recorder.drain().rows["energy"]
        np.testing.assert_allclose(energy, expected, rtol=1e-12)


@pytest.mark.parametrize("every", [1, 2, 4, 10])
def test_frames_come_every_so_many_steps_and_at_the_end(every):
    (chunk,), steps = recorded(relaxing(steps=6), shows=["image"], every=every)
    wanted = [t for t in range(7) if t % every == 0 or t == 6]
    assert chunk.frames["frame_row"].tolist() == wanted
    for frame, t in zip(chunk.frames["image"], wanted, strict=True):
        np.testing.assert_array_equal(frame, steps[t].states[0])


def test_a_frame_keeps_only_the_first_samples():
    (chunk,), _ = recorded(relaxing(steps=1), shows=["image"], samples=3)
    assert chunk.frames["image"].shape == (2, 3, 6)
    (chunk,), _ = recorded(relaxing(steps=1), shows=["image"], samples=9)
    assert chunk.frames["image"].shape == (2, 4, 6)


def test_a_decoder_s_frames_are_its_prediction_and_its_sweep_with_clipped_errors():
    network, clamped = tanh_mlp()
    made = relaxing((network, {5: clamped[5]}))
    (chunk,), steps = recorded(made, shows=RECONSTRUCTED, samples=2, pixels=(-0.2, 0.3))
    for n, step in enumerate(steps):
        h = step.states
        mu = network.maps["5"](h[4]).detach()
        swept = network.sweep({0: h[0]})[5].detach()
        for name, value in (("prediction", mu), ("swept", swept)):
            np.testing.assert_allclose(chunk.frames[name][n], value[:2], rtol=1e-13)
            clipped = value.clamp(-0.2, 0.3)
            mse = (clipped - clamped[5]).square().mean(1)
            np.testing.assert_allclose(chunk.frames[f"{name}_mse"][n], mse, rtol=1e-13)


def test_a_free_image_is_compared_with_the_phase_s_target():
    network, clamped = tanh_mlp()
    network.image = 5
    target = clamped[5]
    recipe = relaxation((network, clamped)).recipe
    phase = Phase("recall", clamped={0: clamped[0]}, given={5: target + 0.5}, target=target)
    made = Relaxation(network, [phase], recipe)
    (chunk,), steps = recorded(made, shows=("image", "image_mse"), pixels=(-9.0, 9.0))
    np.testing.assert_allclose(chunk.frames["image_mse"][0], 0.25)
    for n, step in enumerate(steps):
        mse = (step.states[5] - target).square().mean(1)
        np.testing.assert_allclose(chunk.frames["image_mse"][n], mse, rtol=1e-13)


def test_a_network_without_an_image_has_none_to_show():
    with pytest.raises(ValueError, match=r"^image: this network has no state that can be looked"):
        recorded(relaxation(tanh_mlp()), shows=["image"])


@pytest.mark.parametrize("nudge", [0.3, -0.2, torch.linspace(-0.5, 0.5, 4)])
def test_the_row_of_the_cost_is_the_nudge_times_the_cost(nudge):
    network, clamped = tanh_mlp()
    top, count = network.top, len(clamped[0])
    cost = SquaredError()
    phase = Phase(
        "nudged",
        clamped={0: clamped[0]},
        nudge=nudge,
        cost=cost,
        target=clamped[top],
    )
    plain = relaxing((network, clamped), steps=3)
    (chunk,), steps = recorded(Relaxation(network, [phase], plain.recipe))
    for row, step in enumerate(steps):
        bare = 0.5 * (step.states[top] - clamped[top]).square().sum(1)  # (B,)
        assert chunk.rows["cost"][row] == pytest.approx(float((nudge * bare).mean()), rel=1e-12)
        total = chunk.rows["energy"][row] @ chunk.rows["precision"][row] + chunk.rows["cost"][row]
        assert total == pytest.approx(float(step.free_energy.total(step.states)) / count, rel=1e-12)
