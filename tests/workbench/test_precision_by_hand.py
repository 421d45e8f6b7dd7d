"""A table of precisions by hand: what is drawn, what an edit does, and that it acts as drawn."""

import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bokeh.models import LinearColorMapper
from sessions import SMALL, assert_same_rows, do, opened, rows, settle

from core import Experiment, make
from core.catalogue import BadInput, card_of
from core.companions import companions
from core.precisions.table import Table
from core.schema import digest
from workbench.board import Board
from workbench.command import recipe_toml
from workbench.dials import text_of, value_of
from workbench.precision_place import step_of
from workbench.precision_plot import RATIO
from workbench.precision_tab import NoPrecision, PrecisionTab
from workbench.precision_table import Sheet, difference, rows_of, shifted
from workbench.scene import readout, scene
from workbench.session import Session
from workbench.sight import Sight

T, L = 8, 4
TALL = SMALL.changed(steps=T)
REST = 1e-3


def spiking(steps=T, layers=L, rest=REST):
    """Pi_l(t) = 1 if t = L - l else a, cell by cell."""
    return np.array(
        [[1.0 if t == layers - layer else rest for layer in range(1, layers + 1)]
         for t in range(steps)]
    )  # fmt: skip


def formula(name="Spiking", **dials):
    return make("precision", name, dials)


def page_of(session, board):
    return SimpleNamespace(session=session, look=board.look, board=board, sight=Sight())


class Opened:
    """A tab on a session in this thread."""

    def __init__(self, experiment=TALL, steps=0, theme="light"):
        self.session = opened(experiment)
        self.board = Board(theme)
        page = page_of(self.session, self.board)
        self.tab = PrecisionTab(page, "")
        if steps:
            do(self.session, "step", steps)
        self.beat()

    def beat(self, count=3):
        for _ in range(count):
            self.tab.follow()
            settle(self.session)
        self.tab.follow()

    def change(self, **choices):
        do(self.session, "change", **choices)
        self.beat()

    def tap(self, t, layer, t1=None, layer1=None):
        """Click a cell, or drag over a block, by layers from 1."""
        plot = self.tab.plot.figure
        if t1 is None:
            [called] = plot._event_callbacks["tap"]
            called(SimpleNamespace(x=t + 0.2, y=layer - 0.3))
        else:
            [called] = plot._event_callbacks["selectiongeometry"]
            box = {"type": "rect", "x0": t, "x1": t1, "y0": layer, "y1": layer1}
            called(SimpleNamespace(geometry=box, final=True))
        self.beat(1)

    def enter(self, field, text):
        """Type into a field, and Enter."""
        widget = getattr(self.tab, field)
        widget.value = text
        widget.param.trigger("enter_pressed")
        self.beat(1)

    def press(self, label):
        buttons = self.tab.view.select(lambda one: getattr(one, "label", "") == label)
        [button] = [one for one in buttons if hasattr(one, "clicks")]
        button.clicks += 1
        self.beat()

    @property
    def values(self):
        return self.tab.draft.sheet.values

    @property
    def state(self):
        return self.tab._state.object

    @property
    def image(self):
        """What is drawn, (T + 1, layers)."""
        return self.tab.plot.cells.data["image"][0].T


@pytest.fixture
def table():
    return Opened(TALL.changed(precision=formula()))


# The picture -------------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("rest", [0.0, 0.25, 1e-3])
def test_the_picture_is_log10_of_the_formula_and_its_last_step_is_held(rest):
    made = Opened(TALL.changed(precision=formula(rest=rest)))
    expected = spiking(rest=rest)
    assert np.array_equal(made.values, expected)
    drawn = np.vstack([expected, expected[-1]])
    with np.errstate(divide="ignore"):
        logs = np.log10(drawn)
    logs[drawn == 0] = np.nan  # switched off, in the colour of what is not there
    np.testing.assert_allclose(made.image, logs, rtol=1e-6)
    assert made.tab.plot.figure.x_range.end == T + 0.5
    assert "no cell of 32 differs from Spiking" in made.tab._differs.object
    assert "this acts: Spiking" in made.state and made.tab.apply.disabled


def test_colours_and_scale_are_those_of_the_plot_of_precisions(table):
    table.tap(3, 2)
    table.enter("value", "250")
    table.press("apply")
    do(table.session, "step", 5)
    table.board.draw(scene(table.session))
    table.beat()
    plot = table.board.precision.select_one(LinearColorMapper)
    mapper = table.tab.plot.mapper
    assert (mapper.low, mapper.high) == (plot.low, plot.high) == (-4.0, 3.0)
    assert mapper.palette == plot.palette and mapper.nan_color == plot.nan_color


def test_numbers_stand_in_cells_that_have_room_for_them():
    made = Opened(TALL.changed(precision=formula(rest=0.5)))
    held = made.tab.plot.numbers.data
    found = {(t, y): text for t, y, text in zip(held["x"], held["y"], held["text"], strict=True)}
    expected = {
        (t, layer): "1" if t == L - layer else ".5" for t in range(T) for layer in range(1, L + 1)
    }
    assert found == expected
    made.change(steps=60)  # six pixels a step
    assert not made.tab.plot.numbers.data["text"]


def test_the_mark_stands_at_the_step_of_the_cursor(table):
    do(table.session, "step", 5)
    table.beat()
    assert (table.tab.plot.now.visible, table.tab.plot.now.location) == (True, 5)
    do(table.session, "seek", 2)
    table.beat()
    assert table.tab.plot.now.location == 2


def test_figures_are_built_once(table):
    plot = table.tab.plot.figure
    renderers, tools = list(plot.renderers), list(plot.tools)
    table.press("later")
    table.change(steps=12)
    table.change(precision="Identity", network=make("network", "MLP", {"hidden": (8,)}))
    table.tab.shows.value = RATIO
    table.beat()
    assert table.tab.plot.figure is plot
    assert list(plot.renderers) == renderers and list(plot.tools) == tools


# Edits -------------------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
def test_clicks_and_drags_choose_cells_that_are_set_multiplied_and_reset(table):
    expected = spiking()
    table.tap(5, 3)
    table.enter("value", "0.5")
    expected[5, 2] = 0.5
    assert np.array_equal(table.values, expected)
    table.tap(1, 1, 3, 2)
    table.enter("factor", "20")
    for t in (1, 2, 3):
        for layer in (1, 2):
            expected[t, layer - 1] = 20 * expected[t, layer - 1]
    assert np.array_equal(table.values, expected)
    table.tap(2, 2)
    table.press("to formula")
    expected[2, 1] = 1.0
    assert np.array_equal(table.values, expected)


def test_a_whole_layer_and_a_whole_step_are_scaled(table):
    expected = spiking()
    table.tap(2, 3)
    table.press("its layers")
    table.press("multiply")
    for t in range(T):
        expected[t, 2] *= 10
    assert np.array_equal(table.values, expected)
    table.tap(6, 1)
    table.press("its steps")
    table.enter("factor", "0.5")
    for layer in range(L):
        expected[6, layer] *= 0.5
    assert np.array_equal(table.values, expected)


def test_a_click_on_the_held_step_chooses_the_last_one_and_one_beside_the_cells_nothing(table):
    table.tap(T, 2)
    assert table.tab._block == (T - 1, T - 1, 1, 1)
    table.tap(T + 3, 2)
    assert table.tab._block == (T - 1, T - 1, 1, 1)


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("k", [1, 3, -2, 7, 8, 50, -50])
def test_a_shift_moves_spikes_and_rest_enters(k):
    values = shifted(spiking(), k, spiking())
    for t in range(T):
        for layer in range(1, L + 1):
            assert values[t, layer - 1] == (1.0 if t - k == L - layer and t - k < T else REST)


def test_shifts_are_by_the_steps_that_are_typed(table):
    table.enter("steps", "2")  # Enter shifts later
    table.press("later")
    table.press("earlier")
    assert np.array_equal(table.values, shifted(spiking(), 2, spiking()))


def test_undo_takes_back_one_edit_after_another(table):
    seen = [table.values]
    for label in ("later", "multiply", "later"):
        table.press(label)
        seen.append(table.values)
    for before in reversed(seen[:-1]):
        table.press("undo")
        assert np.array_equal(table.values, before)
    assert table.tab.undo.disabled


def test_another_formula_is_the_starting_point_and_its_dial_keeps_the_edits(table):
    table.tap(0, 1)
    table.enter("value", "7")
    table.tab.formula.menu.value = "Depth profile"
    table.beat()
    g = 0.8
    expected = np.array([[g ** (L - layer) for layer in range(1, L + 1)]] * T)
    np.testing.assert_allclose(table.values, expected, rtol=1e-15)
    assert table.tab.draft.pending and not table.tab.apply.disabled
    table.tap(4, 2)
    table.enter("value", "7")
    [field] = table.tab.formula.dials
    field.value = "0.5"
    table.beat()
    expected = np.array([[0.5 ** (L - layer) for layer in range(1, L + 1)]] * T)
    expected[4, 1] = 7.0
    assert np.array_equal(table.values, expected)
    assert "1 cell of 32 differs from Depth profile" in table.tab._differs.object


@pytest.mark.oracle("closed form")
def test_the_ratio_is_drawn_about_one_and_the_difference_is_said(table):
    table.tap(5, 2)
    table.enter("value", "0.1")  # a hundred times
    table.tap(0, 4)
    table.enter("factor", "0.1")
    table.tap(7, 1)
    table.enter("value", "0.002")
    assert table.tab._differs.object == (
        "<div>3 cells of 32 differ from Spiking, largest ×100 at layer 2, step 5</div>"
    )
    table.tab.shows.value = RATIO
    table.beat()
    ratio = np.zeros((T + 1, L))
    ratio[5, 1], ratio[0, 3], ratio[7:, 0] = 2, -1, np.log10(2)
    np.testing.assert_allclose(table.image, ratio, atol=1e-6)
    mapper = table.tab.plot.mapper
    assert mapper.low == -mapper.high == -2


def test_what_is_switched_off_has_no_ratio_but_is_told():
    sheet = Sheet(np.array([[0.0, 1.0]]), np.array([[0.5, 1.0]]), "Spiking")
    assert difference(sheet, ["1", "2"]) == (
        "1 cell of 2 differs from Spiking, 0 for 0.5 at layer 1, step 0"
    )


# What acts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_relaxation_under_the_table_has_these_precisions_bit_for_bit(dtype, at):
    made = Opened(TALL.changed(dtype=dtype), steps=at)
    lots = np.random.default_rng(0)
    for t in range(T):
        for layer in range(1, L + 1):
            made.tap(t, layer)
            made.enter("value", repr(float(10 ** lots.uniform(-4, 1))))
    wanted = made.values.copy()
    assert len(np.unique(wanted)) == T * L
    made.press("apply")
    assert "this acts: Table" in made.state
    do(made.session, "step", T - at)
    found = made.session.lane.trace.dataset()["precision"].values
    held = np.vstack([wanted, wanted[-1]]).astype(dtype)
    assert found[at:].astype(dtype).tobytes() == held[at:].tobytes()
    assert (found[:at] == 1).all()


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("begun", [0, 2])
@pytest.mark.parametrize("at", [0, 3])
def test_spiking_entered_by_hand_gives_the_very_trace_of_the_formula(begun, at):
    lanes = []
    for by_hand in (False, True):
        made = Opened(TALL, steps=begun)
        made.change(precision=formula())
        do(made.session, "step", at) if at else None
        made.beat()
        if by_hand:
            made.tab.formula.menu.value = "Identity"
            made.beat()
            made.press("all")
            made.enter("value", str(REST))
            for layer in range(1, L + 1):
                made.tap(L - layer, layer)
                made.enter("value", "1")
            assert np.array_equal(made.values, spiking())
            # what is drawn acts already: it is asked for all the same
            do(made.session, "change", precision=made.tab.draft.sheet.choice)
        do(made.session, "step", T - at)
        do(made.session, "next_batch")  # begins with its step 0
        do(made.session, "step", T)
        lanes.append(rows(made.session.lane))
    for one in lanes:
        for name in ("recipes", "recipe_id"):
            one.pop(name, None)
    assert_same_rows(*lanes)


def test_a_formula_that_was_chosen_late_says_at_which_step_its_table_began():
    made = Opened(TALL, steps=3)
    made.change(precision=formula())
    do(made.session, "step", 2)
    made.beat()
    assert made.tab.plot.now.location == 2
    assert "step 0 was step 3 of this batch" in made.state


def test_the_mark_is_where_the_relaxation_reads_its_table():
    session = opened(TALL)
    table = Table(rows=((1.0,), (0.5,)))
    for choice, steps in ((formula(), 2), (table, 3), (formula("Decaying"), 1), (table, 1)):
        do(session, "change", precision=choice)
        for _ in range(steps):
            relaxation = session._relaxation
            assert step_of(session.lane, session._row) == (
                relaxation.t - relaxation._clock,
                relaxation._clock,
            )
            do(session, "step")
    do(session, "next_batch")
    assert step_of(session.lane, session._row) == (0, 0)


def test_a_table_is_a_choice_like_any_other(table):
    do(table.session, "step", 2)
    table.press("later")
    table.press("apply")
    do(table.session, "step", 3)
    event = next(one for one in table.session.events if one["command"] == "change")
    expected = rows_of(shifted(spiking(), 1, spiking()))
    assert event["args"]["precision"] == {"name": "Table", "rows": [list(one) for one in expected]}
    experiment = table.session.lane.experiment
    assert experiment.precision == Table(rows=expected)
    again = Experiment.from_dict(tomllib.loads(recipe_toml(experiment)))
    assert again == experiment  # copied as a command, from a file, as Python
    shown = readout(table.session, scene(table.session))
    assert shown["recipe"]["precision"]["rows"] == [list(one) for one in expected]


def test_the_text_of_a_table_is_read_as_the_same_table():
    lots = 10 ** np.random.default_rng(0).uniform(-9, 5, (6, 4))
    table = Table(rows=rows_of(lots))
    [dial] = card_of(Table).dials
    assert value_of(dial, text_of(table.rows), "precision.rows") == table.rows
    assert text_of(((0.1, 1.0), (2.0, 0.0))) == "0.1 1; 2 0"


def test_a_replay_of_the_log_has_the_same_digest(table):
    for label in ("later", "apply"):
        table.press(label)
    do(table.session, "step", 5)
    table.tap(6, 2)
    table.enter("value", "3")
    do(table.session, "seek", 4)
    table.beat()
    table.press("apply")  # from an old row: another lane
    do(table.session, "step", 3)
    again = Session.replay(table.session.log())
    assert len(again.lanes) == len(table.session.lanes) == 2

    def sum_of(lane):
        return digest({k: v for k, v in rows(lane).items() if isinstance(v, np.ndarray)})

    assert [sum_of(one) for one in again.lanes] == [sum_of(one) for one in table.session.lanes]


def test_rows_at_the_end_that_are_held_anyway_are_left_out():
    values = spiking(steps=40)
    short = Table(rows=rows_of(values))
    assert len(short.rows) == L + 1
    found = short.table(40, torch.arange(1, L + 1)).numpy()
    assert np.array_equal(found, values)


# Other choices -----------------------------------------------------------------------------------


def test_another_choice_starts_the_table_anew_and_undo_brings_the_draft_back(table):
    table.press("later")
    draft = table.values
    table.change(precision="Identity")
    assert (table.values == 1).all() and not table.tab.draft.pending
    assert "precision is now Identity" in table.state
    table.press("undo")
    assert np.array_equal(table.values, draft) and table.tab.draft.pending


def test_more_steps_hold_the_last_one_of_a_table_in_force_as_the_core_does(table):
    table.tap(T - 1, 2)
    table.enter("value", "5")
    table.press("apply")
    table.change(steps=T + 4)
    expected = spiking(steps=T + 4)
    expected[T - 1 :, 1] = 5.0
    assert np.array_equal(table.values, expected) and not table.tab.draft.pending
    assert f"T went from {T} to {T + 4}; past its end the table holds its last step" in table.state
    do(table.session, "step", T + 4)
    found = table.session.lane.trace.dataset()["precision"].values
    assert np.array_equal(found[: T + 4], expected.astype("float32"))


def test_fewer_steps_cut_a_draft_and_say_so(table):
    table.tap(1, 2)
    table.enter("value", "5")
    table.tap(T - 1, 2)
    table.enter("value", "6")
    table.change(steps=4)
    expected = spiking(steps=4)
    expected[1, 1] = 5.0
    assert np.array_equal(table.values, expected)
    assert "what differs from Spiking was carried over, 1 cell had no place" in table.state


def test_a_draft_is_carried_to_another_depth_by_layers_from_the_output(table):
    table.tap(1, 4)
    table.enter("value", "5")  # the output
    table.tap(1, 1)
    table.enter("value", "6")  # three below it
    table.change(network=make("network", "MLP", {"hidden": (8,) * 5}))
    expected = spiking(layers=6)
    expected[1, 5], expected[1, 2] = 5.0, 6.0
    assert np.array_equal(table.values, expected)
    assert "4 layers became 6, counted from the output" in table.state
    table.change(network=make("network", "MLP", {"hidden": (8,)}))
    expected = spiking(layers=2)
    expected[1, 1] = 5.0
    assert np.array_equal(table.values, expected) and "1 cell had no place" in table.state


def test_a_table_in_force_is_carried_to_another_network_and_keeps_its_formula(table):
    table.tap(1, 4)
    table.enter("value", "5")
    table.press("apply")
    deep = make("network", "MLP", {"hidden": (8,) * 5})
    table.change(**companions(table.session.wanted, deep))
    expected = spiking()[:, [0, 0, 0, 1, 2, 3]]
    expected[1, 5] = 5.0
    assert np.array_equal(table.values, expected) and not table.tab.draft.pending
    assert "4 layers became 6, counted from the output; below the lowest one" in table.state
    assert np.array_equal(table.tab.draft.sheet.formula, spiking(layers=6))
    do(table.session, "step", 2)
    found = table.session.lane.trace.dataset()["precision"].values
    assert np.array_equal(found, expected[:3].astype("float32"))


def test_a_page_that_is_opened_later_compares_with_the_formula_of_the_lane(table):
    table.press("later")
    table.press("apply")
    page = page_of(table.session, table.board)
    other = PrecisionTab(page, "")
    other.follow()
    assert np.array_equal(other.draft.sheet.formula, spiking())
    assert np.array_equal(other.draft.sheet.values, table.values)
    assert other.draft.sheet.title == "Spiking"


def test_a_table_without_a_formula_is_compared_with_itself():
    made = Opened(TALL.changed(precision=Table(rows=((2.0, 1.0, 1.0, 1.0),))))
    assert "no cell of 32 differs from the table as it came" in made.tab._differs.object
    made.press("multiply")
    assert "1 cell of 32 differs from the table as it came, ×10" in made.tab._differs.object


def test_learned_precisions_are_shown_as_last_applied():
    made = Opened(TALL.changed(precision=formula("Learned"), dtype="float64"))
    do(made.session, "step", 3)
    made.beat()
    memory = made.session._relaxation.precisions[1]
    assert len(set(memory.exp().tolist())) > 1
    assert np.array_equal(made.values, np.tile(memory.exp().numpy(), (T, 1)))
    assert "shown is what was applied last" in made.state
    assert "Learned at row 3" in made.tab._differs.object
    made.press("multiply")
    draft = made.values
    do(made.session, "step", 1)
    made.beat()
    assert np.array_equal(made.values, draft)  # a draft stays what it is
    made.press("apply")
    do(made.session, "step", 1)
    found = made.session.lane.trace.dataset()["precision"].values[-1]
    assert np.array_equal(found, draft[5])


def test_layers_at_one_depth_share_a_column():
    made = Opened(SMALL.changed(network=make("network", "ResNet", {"width": 1 / 64}), steps=4))
    place = made.tab.draft.place
    twins = [k for k, d in enumerate(place.depth) if place.depth.count(d) == 2]
    assert twins, "this network has skips"
    first = twins[0]
    made.tap(2, first + 1)
    made.enter("value", "5")
    drawn = np.rint(10**made.image)
    assert [int(k) for k in np.flatnonzero(drawn[2] == 5)] == [
        k for k, d in enumerate(place.depth) if d == place.depth[first]
    ]
    made.press("apply")
    do(made.session, "step", 3)
    found = made.session.lane.trace.dataset()["precision"].values[2]
    assert np.array_equal(found == 5, drawn[2] == 5)


def test_phases_and_what_acts_on_top_are_said():
    made = Opened(TALL.changed(window=True, output_precision=0.5))
    assert "the energy window" in made.state and "multiplied by λ 0.5" in made.state
    nudge = make("task", "Nudge")
    learning = make("learning", "EquilibriumPropagation")
    made = Opened(TALL.changed(task=nudge, learning=learning))
    assert "each phase begins at its step 0" in made.state


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "text", "line"),
    [
        ("value", "-1", "precision: -1.0; a finite number in [0, 1e+06]"),
        ("value", "nan", "precision: nan; a finite number in [0, 1e+06]"),
        ("value", "1e7", "precision: 10000000.0; a finite number in [0, 1e+06]"),
        ("value", "much", "precision: much; a finite number in [0, 1e+06]"),
        ("value", " ", "precision: nothing; a finite number in [0, 1e+06]"),
        ("factor", "-2", "factor: -2.0; a finite number in [0, 1e+06]"),
        ("factor", "inf", "factor: inf; a finite number in [0, 1e+06]"),
        ("steps", "1.5", "shift: 1.5; an integer 1..100000"),
        ("steps", "0", "shift: 0; an integer 1..100000"),
    ],
)
def test_what_is_not_legal_is_refused_in_one_line_and_changes_nothing(table, field, text, line):
    before = table.values
    table.enter(field, text)
    assert f'class="refused">{line}<' in table.state
    assert table.values is before and table.tab.undo.disabled


def test_a_product_that_is_too_large_names_its_cell(table):
    table.tap(2, 2)
    table.enter("value", "1000")
    table.enter("factor", "100000")
    assert "precision at step 2, depth 2: 1e+08; a finite number in [0, 1e+06]" in table.state
    assert table.values[2, 1] == 1000


def test_a_table_that_does_not_go_with_the_network_is_refused_where_it_is_applied():
    network = make("network", "ResNet", {"width": 1 / 64, "skips": "published"})
    made = Opened(SMALL.changed(network=network, precision=formula(), steps=4))
    made.press("later")
    made.press("apply")
    assert 'class="refused">network: ResNet; with network.skips published' in made.state
    assert made.session.lane.experiment.precision == formula()


def test_too_many_cells_are_refused_with_their_number():
    made = Opened(TALL.changed(steps=20_000))
    assert "precision: 20000 steps of 4 layers; at most 20000 cells by hand" in made.state
    assert made.tab.draft.sheet is None
    made.change(steps=5)
    assert "refused" not in made.state and made.values.shape == (5, L)


def test_a_watched_run_says_that_it_cannot_be_changed():
    page = SimpleNamespace(session=SimpleNamespace(why="recorded <elsewhere>"))
    tab = NoPrecision(page, "")
    tab.follow()
    assert "a recorded run cannot be changed" in tab.view.object
    assert "recorded &lt;elsewhere&gt;" in tab.view.object


def test_values_of_a_sheet_are_judged():
    sheet = Sheet(spiking(), spiking(), "Spiking")
    for bad in (-1.0, np.nan, np.inf, 2e6):
        values = spiking()
        values[3, 1] = bad
        with pytest.raises(BadInput, match=r"^precision at step 3, depth 2: "):
            sheet.with_values(values)


def test_what_is_chosen_before_the_first_look_is_not_lost():
    session, board = opened(TALL), Board("light")
    page = page_of(session, board)
    tab = PrecisionTab(page, "")
    tab.formula.menu.value = "Spiking"
    tab.follow()
    assert tab.draft.sheet.title == tab.formula.menu.value == "Spiking"
    assert np.array_equal(tab.draft.sheet.values, spiking())
    assert tab.draft.pending
