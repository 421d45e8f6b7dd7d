"""A recorded training: the run holds what happened, and recording changes nothing of it."""

import json

import numpy as np
import pytest
import torch

from core import LEAN, Experiment, Training, accuracy, make, relax
from core.catalogue import BadInput
from core.recording import fits_alignment
from core.runs import NotWritten, Run
from core.runs import course as training
from core.runs.train import Every, train
from tests.recordings import smallest

T, L = 4, 3


def experiment(**choices):
    """Of four steps in double precision."""
    return smallest(**({"steps": T, "batch_size": 50, "dtype": "float64"} | choices))


def bare(chosen, batches):
    """The network after a training that nobody looks at."""
    images = chosen.dataset()
    network = chosen.build(images.shape, images.classes)
    held = Training(chosen, images, network, aligned=fits_alignment(chosen, images))
    for number in range(batches):
        relaxation = held.relaxation(held.batches.batch(number), train=True)
        relaxation.run()
        held.finish(relaxation)
    return network


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Seven batches, everything looked at before each."""
    path = tmp_path_factory.mktemp("runs") / "a"
    every = Every(weights=1, accuracy=1, updates=1, alignment=1)
    return train(experiment(), path, batches=7, every=every)


LEARNING = ["PredictiveCoding", "ForwardUpdate", "Incremental", "Backprop"]


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("learning", LEARNING)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recording_changes_no_bit_of_the_weights(tmp_path, learning, dtype):
    chosen = experiment(learning=make("learning", learning), dtype=dtype)
    expected = bare(chosen, 5).state_dict()
    found = train(chosen, tmp_path / "a", batches=5).weights(5)
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_every_batch_has_its_rows(run):
    rows = run.dataset()
    assert run.state == "finished" and run.recovered == ""
    assert rows["step"].values.tolist() == list(range(7 * (T + 1)))
    assert rows["t"].values.tolist() == [*range(T + 1)] * 7
    assert rows["batch"].values.tolist() == np.repeat(np.arange(7), T + 1).tolist()
    assert run.batches()["rows"].values.tolist() == [T + 1] * 7 + [0]
    seconds = rows["seconds"].values
    assert seconds[0] >= 0 and (np.diff(seconds) >= 0).all()


def test_the_rows_of_the_first_batch_are_those_of_its_relaxation(run):
    alone = relax(experiment(), level=LEAN)
    rows = run.dataset().isel(step=slice(0, T + 1))
    for name in ("energy", "precision", "cost", "error"):
        assert np.array_equal(rows[name], alone[name]), name


def test_rows_of_level_full_have_samples_forces_and_probabilities(tmp_path):
    rows = train(experiment(), tmp_path / "a", batches=2, level="full").dataset()
    assert {"energy_sample", "force", "speed", "probability"} <= set(rows)
    mean = rows["energy_sample"].mean("sample")
    assert np.allclose(rows["energy"], mean, rtol=1e-12, atol=0)


def test_accuracy_is_that_of_the_weights_with_which_a_batch_begins(run):
    images, found = experiment().dataset(), run.batches()["accuracy"].values
    network = experiment().build(images.shape, images.classes)
    for number in range(8):
        network.load_state_dict(run.weights(number))
        network.touch()
        assert found[number] == accuracy(network, images.test_x, images.test_y)


def test_update_norms_are_distances_between_the_weights_that_were_kept(run):
    found = run.batches()["update_norm"].values
    for number in range(7):
        before, after = run.weights(number), run.weights(number + 1)
        for layer in range(L):
            own = [name for name in before if name.startswith(f"maps.{layer + 1}.")]
            moved = torch.cat([(after[name] - before[name]).flatten() for name in own])
            assert found[number, layer] == pytest.approx(float(moved.norm()), rel=1e-12)
    assert np.isnan(found[7]).all()


@pytest.mark.oracle("closed form")
def test_the_cost_is_the_count_of_the_formula(run):
    smm = run.batches()["smm"].values
    assert smm[:7].tolist() == [L + 2 * T] * 7  # a sweep, then two products a step


def test_what_is_not_counted_is_said(tmp_path):
    chosen = experiment(init=make("init", "Average"), dynamics=make("dynamics", "ExactBlocks"))
    held = train(chosen, tmp_path / "a", batches=1)
    assert "smm" not in held.batches() and "has no account" in held.said["smm"]


def test_the_update_of_backprop_is_aligned_with_itself(tmp_path):
    chosen = experiment(learning=make("learning", "Backprop"))
    held = train(chosen, tmp_path / "a", batches=3, every=Every(alignment=2)).batches()
    assert np.allclose(held["update_alignment"][[0, 2]], 1.0)
    assert np.isnan(held["update_alignment"][1]).all()


def test_what_costs_is_looked_at_as_often_as_is_said(tmp_path):
    held = train(experiment(batch_size=500), tmp_path / "a", epochs=3)  # 3 batches an epoch
    batches = held.batches()
    assert batches["batch"].values.tolist() == list(range(10))
    known = ~np.isnan(batches["accuracy"].values)
    assert np.flatnonzero(known).tolist() == [0, 3, 6, 9] == held.kept()
    assert sorted(held.samples()) == [0, 3, 6, 9]
    assert np.flatnonzero(~np.isnan(batches["update_norm"].values[:, 0])).tolist() == [0]
    none = train(experiment(), tmp_path / "b", batches=2, every=Every(0, 0, 0, 0))
    assert none.kept() == [] and not {"accuracy", "update_norm"} & set(none.batches())
    assert {"seconds", "smm"} <= set(none.batches())


def test_a_sample_holds_the_labels_and_images_of_its_batch(run):
    chosen = experiment()
    images = chosen.dataset()
    held = Training(chosen, images, bare(chosen, 0), aligned=fits_alignment(chosen, images))
    batch, sample = held.batches.batch(3), run.samples()[3]
    assert np.array_equal(sample.labels, batch.y)
    assert np.array_equal(sample.images, batch.x[:8])


def test_the_run_names_its_experiment_and_its_data(run):
    assert Experiment.from_dict(run.manifest["experiment"]) == experiment()
    about = run.manifest["about"]
    assert (about["data"], about["fingerprint"]) == (
        "SmallDigits",
        experiment().dataset().fingerprint,
    )
    assert json.loads(run.dataset().attrs["experiment"]) == experiment().to_dict()
    assert run.recipes()[0]["dynamics"] == experiment().to_dict()["dynamics"]


def test_it_begins_with_the_weights_that_are_given(tmp_path, run):
    held = train(experiment(), tmp_path / "a", batches=1, first=run.weights(7))
    assert all(torch.equal(one, run.weights(7)[name]) for name, one in held.weights(0).items())
    assert held.batches()["accuracy"].values[0] == run.batches()["accuracy"].values[7]


def test_progress_ends_at_one(tmp_path):
    told = []
    train(experiment(), tmp_path / "a", batches=4, progress=lambda *said: told.append(said))
    assert [share for _, share in told] == [0.25, 0.5, 0.75, 1.0]
    assert told[0][0].startswith("epoch 1 of 1, test accuracy ")


# Ends before the last batch ----------------------------------------------------------------------


@pytest.mark.parametrize("asked", [1, 9, 10])
def test_it_stops_between_two_steps(tmp_path, asked):
    left = [asked]

    def stop():
        left[0] -= 1
        return not left[0]

    held = train(experiment(), tmp_path / "a", batches=100, stop=stop)
    # It is asked before each of T updates of a batch.
    whole, more = divmod(asked - 1, T)
    assert held.state == "interrupted" and held.recovered == ""
    assert held.rows() == whole * (T + 1) + more + 1
    known = held.batches()
    assert int(np.isfinite(known["seconds"]).sum() if "seconds" in known else 0) == whole


def test_a_keyboard_interrupt_leaves_a_readable_run(tmp_path):
    def interrupt(line, share):
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(experiment(), tmp_path / "a", batches=4, progress=interrupt)
    held = Run(tmp_path / "a")
    assert held.state == "interrupted" and held.kept() == [0]


def test_one_that_diverges_keeps_its_rows_up_to_there_and_nothing_of_later(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "BEAT", 1e9)  # so that it is seen late
    chosen = experiment(dynamics=make("dynamics", "GradientDescent", {"rate": 10.0}), steps=60)
    held = train(chosen, tmp_path / "a", batches=5, every=Every(weights=3, accuracy=0))
    assert held.state.startswith("diverged at step ") and "of batch 0" in held.state
    rows = held.dataset()
    total = (rows["energy"] * rows["precision"]).sum("layer").values
    bad = ~np.isfinite(total) | (total > 1e6 * np.nanmax(total[:5]))
    assert bad[-1] and not bad[:-1].any()
    assert held.kept() == [0] and "update_norm" not in held.batches()


# Refusals ----------------------------------------------------------------------------------------


def test_a_run_that_exists_is_refused_and_stays(run):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=r"run: .*a; exists, choose another name"):
        train(experiment(), run.path, batches=1)
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


@pytest.mark.row(37)
def test_a_folder_that_cannot_be_made_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "first_weights", lambda *_: pytest.fail("it trained"))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritten, match=r"^run: "):
        train(experiment(), tmp_path / "file" / "a", batches=1)


def test_what_is_refused_leaves_no_run(tmp_path):
    for name, choices, said in [
        ("a", {"batches": 0}, "batches: 0"),
        ("a", {"batches": True}, "batches: True"),
        ("a", {"epochs": 1.5}, "epochs: 1.5"),
        ("a", {"batches": 1, "epochs": 1}, "one of the two"),
        ("a", {}, "one of the two"),
        (".a", {"batches": 1}, "run: .a"),
    ]:
        with pytest.raises(BadInput, match=said):
            train(experiment(), tmp_path / name, **choices)
    with pytest.raises(BadInput, match=r"batch_size: 5000"):
        train(experiment(batch_size=5000), tmp_path / "a", batches=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [-1, 1.0, True, "2"])
def test_how_often_is_a_number_of_batches(value):
    with pytest.raises(BadInput, match=r"every\.accuracy: "):
        Every(accuracy=value)
