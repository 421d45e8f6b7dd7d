"""Scenes: what is drawn is what was recorded, around the cursor."""

import json

import numpy as np
import pytest

from core import make
from core.trace import Trace
from tests.workbench.sessions import SMALL, do, free, opened
from tests.workbench.test_session import DECODER, TAME, WILD
from workbench import measures
from workbench.scene import STRIDE, WINDOW, readout, scene

SPIKING = SMALL.changed(precision=make("precision", "Spiking", {"rest": 0.01}))


def finite_json(session):
    """The readout as a browser reads it: JSON has neither nan nor infinity."""
    said = readout(session, scene(session))
    return json.loads(json.dumps(said, allow_nan=False))


def test_there_is_no_scene_before_the_first_row():
    from workbench.session import Session

    session = Session(SMALL)
    assert scene(session) is None
    said = json.loads(json.dumps(readout(session, None), allow_nan=False))
    assert said["ready"] is False and said["lanes"] == 0


@pytest.mark.parametrize("experiment", [SMALL, SPIKING, DECODER, SMALL.changed(dtype="float64")])
@pytest.mark.parametrize("per", ["layer", "unit"])
def test_curves_agree_with_the_measures_of_the_whole_trace(experiment, per):
    session = opened(experiment)
    do(session, "set_gear", "batch")
    do(session, "step", 15)
    drawn = scene(session, per).curves
    data = session.lane.trace.dataset()
    reached = measures.reached(data).values
    np.testing.assert_array_equal(drawn.reached, reached)
    np.testing.assert_array_equal(drawn.floor, data["floor"].values)
    below = data["rounding"].values & (data["energy"].values != 0)
    np.testing.assert_array_equal(drawn.noise, below)
    np.testing.assert_array_equal(drawn.imbalance, measures.imbalance(data, per).values)
    np.testing.assert_array_equal(drawn.residual, measures.residual(data).values)
    total = measures.total_energy(data)
    np.testing.assert_array_equal(drawn.total, total["F"].values)
    np.testing.assert_array_equal(drawn.raw, data["energy"].values)
    np.testing.assert_array_equal(drawn.energy, np.where(reached, data["energy"].values, np.nan))
    np.testing.assert_array_equal(drawn.precision, data["precision"].values)
    np.testing.assert_array_equal(drawn.alignment, data["alignment"].values)
    sizes = data["layer_size"].values
    rms = np.sqrt(2 * data["energy"].values.astype(float) / sizes)
    np.testing.assert_allclose(drawn.error, np.where(reached, rms, np.nan), rtol=1e-12)
    assert drawn.step.tolist() == list(range(16))
    assert drawn.t.tolist() == [*range(6), *range(6), *range(4)]
    assert drawn.batch.tolist() == [0] * 6 + [1] * 6 + [2] * 4


def test_the_wavefront_of_a_forward_init_climbs_down_one_layer_a_step():
    """All error begins at the output; after t updates it has come t layers down."""
    session = opened()
    do(session, "step", 3)
    reached = scene(session).curves.reached
    expected = [[layer >= 4 - t for layer in (1, 2, 3, 4)] for t in range(4)]
    assert reached.tolist() == expected
    assert np.isnan(scene(session).curves.imbalance[0])


def test_the_slope_is_that_of_the_row_under_the_cursor():
    session = opened()
    do(session, "step", 9)
    data = session.lane.trace.dataset()
    for row in (9, 4, 1):
        do(session, "seek", row)
        slope, r2 = scene(session).slope
        expected = measures.slope(data).isel(step=row)
        np.testing.assert_equal(slope, float(expected["slope"]))
        np.testing.assert_equal(r2, float(expected["r2"]))


def test_the_cursor_stands_on_its_row_wherever_it_is_in_a_long_lane():
    session = opened(align=False)
    do(session, "step", 1)
    do(session, "change", **TAME | {"steps": 2000})
    do(session, "step", 1700)
    for row in (1700, 1699, 1500, 1301, 1300, 1001, 400, 399, 250, 10, 1, 0):
        do(session, "seek", row)
        drawn = scene(session)
        assert drawn.cursor == row
        assert drawn.curves.step[drawn.at] == row
        assert len(drawn.curves.step) <= WINDOW
        np.testing.assert_array_equal(np.diff(drawn.curves.step), 1)
        assert finite_json(session)["cursor"] == row
    do(session, "follow")
    step = scene(session).curves.step
    assert step.tolist() == list(range(step[0], 1702))
    assert WINDOW - STRIDE < len(step) <= WINDOW and step[0] % STRIDE == 0


def test_the_cursor_stands_on_the_nearest_row_of_a_thinned_lane(monkeypatch):
    made = Trace.__init__

    def small(self, *args, **options):
        made(self, *args, **options | {"limit": 900})

    monkeypatch.setattr(Trace, "__init__", small)
    session = opened(align=False)
    do(session, "change", steps=10_000)
    do(session, "step", 2500)
    held = session.lane.trace.dataset()["step"].values
    assert len(held) <= 900 and held[0] == 0
    for row in (0, 1, 7, 500, 1203, 2000, 2499):
        do(session, "seek", row)
        nearest = held[np.abs(held - row).argmin()]
        assert scene(session).cursor == session.cursor == nearest


def test_updates_are_the_rows_at_t_and_the_one_that_is_still_to_come():
    session = opened()
    do(session, "step", 2)
    assert scene(session).updates == [5]
    do(session, "set_gear", "batch")
    do(session, "step", 8)
    assert scene(session).updates == [5, 11]
    do(session, "step", 1)
    assert scene(session).updates == [5, 11]
    do(session, "step", 2)
    assert scene(session).updates == [5, 11, 17]
    do(session, "change", steps=3)
    assert scene(session).updates == [5, 11, 15]


def test_a_batch_that_has_been_gone_on_with_past_t_awaits_no_update():
    session = opened()
    do(session, "step", 9)
    assert scene(session).updates == [5]


def test_changes_stand_at_their_rows_with_a_sentence():
    session = opened()
    do(session, "step", 3)
    do(session, "change", precision={"name": "Spiking", "rest": 0.01})
    do(session, "step", 2)
    do(session, "change", steps=9)
    assert scene(session).changes == [(3, "precision: Identity -> Spiking"), (5, "steps: 5 -> 9")]
    do(session, "seek", 4)
    do(session, "step", 1)
    assert scene(session).changes == [(3, "precision: Identity -> Spiking"), (4, "steps: 5 -> 9")]


def test_a_ghost_is_drawn_with_its_own_rows():
    session = opened()
    do(session, "step", 8)
    assert scene(session).ghost is None
    do(session, "restart")
    do(session, "step", 2)
    drawn = scene(session)
    assert drawn.lane == 1
    np.testing.assert_array_equal(drawn.ghost.raw, session.lanes[0].trace.dataset()["energy"])
    assert drawn.curves.step.tolist() == [0, 1, 2]
    do(session, "swap")
    assert scene(session).lane == 0 and scene(session).ghost.step.tolist() == [0, 1, 2]


def test_a_ghost_of_another_depth_is_left_out():
    session = opened()
    do(session, "step", 8)
    do(session, "change", network={"name": "MLP", "hidden": [8, 8]})
    do(session, "step", 2)
    assert scene(session).ghost is None
    assert finite_json(session)["ghost"] == 0
    do(session, "change", network={"name": "MLP", "hidden": [6, 5]})
    assert scene(session).ghost is not None


def test_pictures_and_labels_are_those_of_the_batch_under_the_cursor():
    session = opened()
    do(session, "set_gear", "batch")
    do(session, "step", 9)
    batches = session.lane.training.batches
    for row, number in ((9, 1), (6, 1), (5, 0), (0, 0)):
        do(session, "seek", row)
        drawn, batch = scene(session), batches.batch(number)
        np.testing.assert_array_equal(drawn.images["input"], batch.x[:8])
        assert drawn.labels.tolist() == batch.y[:8].tolist()
        held = session.lane.trace.row(row)["probability"]
        np.testing.assert_array_equal(drawn.probability, held[:8])
    assert list(drawn.images) == ["input"]


def test_a_decoder_shows_input_prediction_and_sweep_at_the_cursor():
    session = opened(DECODER)
    do(session, "step", 6)
    data = session.lane.trace.dataset()
    for row in (6, 2):
        do(session, "seek", row)
        drawn = scene(session)
        assert set(drawn.images) == {"input", "prediction", "swept"}
        for name in ("prediction", "swept"):
            np.testing.assert_array_equal(drawn.images[name], data[name].values[row])
            expected = data[f"{name}_mse"].values[row].mean()
            assert drawn.errors[name] == pytest.approx(expected, rel=1e-6)
    assert drawn.probability.size == 0


def test_the_readout_is_json_without_nan_also_at_the_start_and_after_a_divergence():
    session = opened()
    said = finite_json(session)
    assert said["imbalance"] is None and said["slope"] is None
    assert said["reached"] == 1 and said["layers"] == 4
    assert said["rounding"] == 0
    do(session, "change", **WILD)
    free(session, 60)
    do(session, "pause")
    said = finite_json(session)
    assert said["diverged"].startswith("diverged at step") and said["playing"] is False
    do(session, "change", precision={"name": "Table", "rows": [[1e6]]})
    do(session, "seek", 0)
    do(session, "step", 8)
    said = finite_json(session)
    assert session.lane.diverged and said["total"] is None, "infinite has no number in JSON"
    do(session, "set_speed", None)
    assert finite_json(session)["speed"] is None


def test_the_readout_says_what_was_in_force_at_the_cursor_and_what_is_newest():
    session = opened()
    do(session, "step", 3)
    do(session, "change", precision={"name": "Spiking", "rest": 0.01})
    do(session, "step", 4)
    do(session, "seek", 2)
    said = finite_json(session)
    assert (said["cursor"], said["row"], said["recipe_id"]) == (2, 7, 0)
    assert said["recipe"]["precision"] == {"name": "Identity"}
    assert said["experiment"]["precision"] == {"name": "Spiking", "rest": 0.01}
    do(session, "seek", 3)
    said = finite_json(session)
    assert said["recipe_id"] == 1 and said["recipe"]["precision"]["name"] == "Spiking"
    assert said["energies"] == session.lane.trace.row(3)["energy"].astype(float).tolist()
    held = session.lane.trace.row(3)
    expected = float((held["energy"].astype(float) * held["precision"]).sum())
    assert said["total"] == pytest.approx(expected, rel=1e-12)
    assert (said["step"], said["batch"], said["commands"]) == (3, 0, 5)


def test_what_is_drawn_is_never_the_middle_of_a_command(monkeypatch):
    session = opened()
    do(session, "step", 4)
    do(session, "restart")
    do(session, "step", 2)
    before = finite_json(session)
    meanwhile = []

    def looking(through):
        def looked(*args, **options):
            meanwhile.append((finite_json(session), scene(session)))
            found = through(*args, **options)
            meanwhile.append((finite_json(session), scene(session)))
            return found

        return looked

    for name in ("_return", "_begin", "_hold_or_move", "_look"):
        monkeypatch.setattr(session, name, looking(getattr(session, name)))
    do(session, "swap")
    after = finite_json(session)
    assert (before["lane"], before["ghost"], before["row"], before["lanes"]) == (1, 0, 2, 2)
    assert (after["lane"], after["ghost"], after["row"], after["cursor"]) == (0, 1, 4, 4)
    assert after["energies"] != before["energies"]
    drawn = ("lane", "ghost", "lanes", "row", "cursor", "energies", "recipe", "step", "total")
    assert len(meanwhile) > 4
    for said, shown in meanwhile:
        assert {name: said[name] for name in drawn} == {name: before[name] for name in drawn}
        assert (shown.lane, shown.cursor, shown.ghost.step[-1]) == (1, 2, 4)


def test_what_is_said_to_play_is_of_the_rows_that_are_shown(monkeypatch):
    """Else a page may say that it has stopped, and then show another row."""
    session = opened()
    session.play()
    session._attempt(session._queue.get_nowait())
    assert readout(session, scene(session, "layer"))["playing"]
    shown = session._show
    monkeypatch.setattr(session, "_show", lambda: None)
    session.pause()
    session._attempt(session._queue.get_nowait())
    assert not session.playing
    assert readout(session, scene(session, "layer"))["playing"], "the rows before are still shown"
    shown()
    assert not readout(session, scene(session, "layer"))["playing"]
