"""The drawing shows the row under the cursor, and a click on a state chooses it elsewhere too."""

from types import SimpleNamespace

import numpy as np
import pytest
from sessions import SMALL, assert_same_rows, do, opened, rows, settle

from core import cards, make
from core.companions import companions
from workbench.formula import svg
from workbench.look import layer_colours, palette
from workbench.maps_tab import MapsTab
from workbench.network_equation import SIZE, acting, equation, line, terms
from workbench.network_now import asked, now_of
from workbench.network_plot import HIGHEST, widths
from workbench.network_tab import NetworkTab, NoNetwork
from workbench.poke_tab import PokeTab
from workbench.sight import Sight

LIGHT = palette("light")

SPIKING = make("precision", "Spiking", {"rest": 0.01})


class Opened:
    """The tab on a session in this thread, beside maps and pokes."""

    def __init__(self, experiment=SMALL, steps=3, theme="light"):
        self.session = opened(experiment)
        do(self.session, "step", steps)
        page = SimpleNamespace(session=self.session, look=palette(theme), doors=[], sight=Sight())
        page.toggle_drawer = page.doors.append
        self.page = page
        self.maps, self.poke = MapsTab(page, ""), PokeTab(page, "")
        self.tab = NetworkTab(page, "", self.maps.choose, self.poke.choose)
        self.beat()

    def beat(self, count=3):
        for _ in range(count):
            self.tab._at = self.maps._at = self.poke._at = 0.0
            for one in (self.tab, self.maps, self.poke):
                one.follow()
            settle(self.session)
        self.tab._at = 0.0
        self.tab.follow()

    def do(self, *args, **choices):
        do(self.session, *args, **choices)
        self.beat()

    def tap(self, row):
        [called] = self.plot.figure._event_callbacks["tap"]
        called(SimpleNamespace(x=200, y=row))
        self.beat()

    @property
    def plot(self):
        return self.tab._plot

    @property
    def numbers(self):
        return {name: list(values) for name, values in self.plot.numbers.data.items()}

    def filled(self):
        """Names of the states that are drawn full."""
        held = self.plot.states.data
        pairs = zip(held["name"], held["fill"], strict=True)
        return [name for name, fill in pairs if fill != self.page.look.background]


def test_the_numbers_are_those_of_the_trace_at_the_cursor():
    shown = Opened(SMALL.changed(precision=SPIKING), steps=4)
    for row in (0, 2, 4):
        shown.do("seek", row)
        now = now_of(shown.session.showing)
        data = shown.session.lane.trace.dataset().isel(step=row)
        np.testing.assert_array_equal(now.energy, data["energy"])
        np.testing.assert_array_equal(now.precision, data["precision"])
        reached = ~data["rounding"].values
        np.testing.assert_array_equal(now.reached, reached)
        np.testing.assert_allclose(now.error[reached], data["error"].values[reached], rtol=1e-6)
        assert (now.row, now.t, now.phase) == (row, row, "relax")
        said = shown.numbers["energy"]
        assert [one == "not reached" for one in said] == list(data["energy"].values == 0)
        assert f"t = {row}" in shown.tab._acting.object


def test_after_a_forward_sweep_only_the_output_has_energy():
    shown = Opened(steps=1)
    shown.do("seek", 0)
    *hidden, output = shown.numbers["energy"]
    assert hidden == ["not reached"] * 3 and float(output) > 0
    assert "E <b>not reached</b>" not in shown.tab._said.object, "the output is chosen at first"
    shown.tap(1)
    assert "E <b>not reached</b>" in shown.tab._said.object


def test_the_spike_is_lit_where_it_is():
    shown = Opened(SMALL.changed(precision=SPIKING), steps=3)
    for t in range(4):
        shown.do("seek", t)
        lit = [colour == LIGHT.accent for colour in shown.numbers["colour"]]
        assert lit == [layer == 4 - t for layer in (1, 2, 3, 4)]  # L - t
        assert f"<b>Π = 1</b> in {4 - t}, elsewhere lower" in shown.tab._acting.object
        wide = dict(zip([1, 2, 3, 4], shown.plot.wires.data["width"], strict=True))
        assert max(wide, key=wide.get) == 4 - t
    plain = Opened()
    assert LIGHT.accent not in plain.numbers["colour"]


def test_wires_are_wider_the_higher_the_precision():
    found = widths(np.array([0.0, 1e-9, 1e-3, 0.1, 1.0, 5.0]))
    assert found == sorted(found) and found[0] == found[1] < found[2] < found[3] < found[4]
    steps = np.diff(widths(np.array([1e-3, 1e-2, 1e-1, 1.0])))
    np.testing.assert_allclose(steps, steps[0])


@pytest.mark.parametrize(
    ("change", "clamped"),
    [
        ({}, ["0", "4"]),
        ({"task": make("task", "Dream"), "init": make("init", "Normal")}, ["4"]),
        ({"task": make("task", "Nudge"), "learning": make("learning", "Backprop")}, ["0"]),
        ({"task": make("task", "ClampedNudge")}, ["0", "4"]),
    ],
)
def test_what_the_task_clamps_is_full(change, clamped):
    shown = Opened(SMALL.changed(**change))
    assert shown.filled() == clamped
    shown.tap(int(clamped[0]))
    assert "<b>clamped</b>" in shown.tab._said.object
    shown.tap(2)
    assert "<b>free</b>" in shown.tab._said.object


def test_what_a_poke_holds_is_half_full():
    shown = Opened()
    shown.do("poke", layer="2", how="clamp", amount=0.0, sample=3)
    assert shown.filled() == ["0", "2", "4"]
    assert shown.plot.states.data["alpha"] == [1.0, 1.0, 0.45, 1.0, 1.0]
    shown.tap(2)
    assert "<b>10 % held</b>" in shown.tab._said.object, "one of ten samples"
    shown.do("poke", layer="2", how="release")
    assert shown.filled() == ["0", "4"]


def test_a_click_chooses_the_state_in_maps_and_for_pokes():
    shown = Opened()
    shown.tap(3)
    assert shown.tab.chosen.name == "3"
    assert shown.plot.chosen.data["y"] == [3]
    assert shown.maps._layer.value == 3 and shown.maps._surveyor.newest.wanted.layer == 3
    assert shown.poke._layer.value == "3"
    shown.tap(0)
    assert shown.poke._layer.value == "0", "the image can be poked"
    assert shown.maps._layer.value == 3, "and is no layer"
    assert shown.tab._maps.disabled and not shown.tab._poke.disabled
    shown.tab._state.value = 2  # by the menu, as keys do
    assert shown.plot.chosen.data["y"] == [2]
    assert (shown.maps._layer.value, shown.poke._layer.value) == (2, "2")
    for row, at in ((-3, 0), (99, 4)):
        shown.tap(row)
        assert shown.tab.chosen.index == at


def test_a_click_counts_also_before_the_other_tabs_were_opened():
    session = opened()
    do(session, "step", 2)
    page = SimpleNamespace(session=session, look=LIGHT, sight=Sight())
    maps, poke = MapsTab(page, ""), PokeTab(page, "")
    tab = NetworkTab(page, "", maps.choose, poke.choose)
    tab.follow()
    for layer in (3, 1):
        tab._tapped(layer)
        assert (maps._layer.value, poke._layer.value) == (layer, str(layer))
    for _ in range(3):
        maps.follow()
        poke.follow()
        settle(session)
    assert (maps._layer.value, poke._layer.value) == (1, "1")
    assert len(maps._layer.options) == 4


def test_buttons_open_the_other_tabs():
    shown = Opened()
    shown.tab._maps.clicks += 1
    shown.tab._poke.clicks += 1
    assert shown.page.doors == ["maps", "poke"]


def test_only_what_changes_is_sent():
    shown = Opened(SMALL.changed(precision=SPIKING), steps=3)
    plot = shown.plot
    figure, glyphs = plot.figure, list(plot.figure.renderers)
    sources = (plot.states, plot.heads, plot.wires)
    sent = []
    for one in (*sources, plot.numbers):
        one.on_change("data", lambda attr, old, new: sent.append(attr))
    held = [dict(one.data) for one in sources]
    drawn = shown.tab._equation.object
    shown.do("seek", 1)
    assert shown.tab._equation.object is drawn, "the same terms are lit"
    for one, before in zip(sources, held, strict=True):
        same = {name for name, values in one.data.items() if list(values) == list(before[name])}
        assert same >= set(one.column_names) - {"width"}
    words = shown.tab._acting.object
    shown.tab._key = None
    shown.tab._at = 0.0
    sent.clear()
    shown.tab.follow()
    assert sent == [], "the same row again"
    assert shown.tab._acting.object is words
    shown.do("change", network=make("network", "MLP", {"hidden": (8,)}))
    assert plot.figure is figure and plot.figure.renderers == glyphs
    assert plot.figure.y_range.end == 2.5
    assert shown.tab.chosen.index == 2, "the output of the new one"


def test_states_have_the_colours_of_their_layers():
    for theme in ("light", "dark"):
        shown = Opened(theme=theme)
        look = palette(theme)
        assert shown.plot.states.data["line"] == [look.ink, *layer_colours(4, theme)]
        assert shown.plot.wires.data["colour"] == layer_colours(4, theme)


def test_a_network_with_relays_and_one_of_a_thousand_layers_can_be_drawn():
    shown = Opened(SMALL.changed(network=make("network", "ResNet", {"width": 1 / 64})), steps=2)
    named = {one.name: one for one in shown.tab._states}
    assert len(shown.numbers["y"]) == 13 and len(named) == 19
    shown.tap(named["2s"].index)
    assert "a delay" in shown.tab._said.object and "reads 1" in shown.tab._said.object
    assert shown.tab._poke.disabled and shown.tab._maps.disabled
    deep = SMALL.changed(network=make("network", "MuPC", {"width": 2, "depth": 1024}))
    shown = Opened(deep, steps=1)
    assert shown.plot.figure.frame_height <= HIGHEST
    assert len(shown.numbers["y"]) == 1024
    assert shown.plot.figure.html_attributes["aria-label"].startswith("Network: 1025 states")


def test_looking_leaves_no_trace():
    one, other = Opened(), Opened()
    for shown in (one, other):
        shown.do("seek", 1)
    one.tap(2)
    for shown in (one, other):
        shown.do("follow")
        shown.do("step", 4)
    assert_same_rows(rows(one.session.lane), rows(other.session.lane))
    assert len(one.session.events) == len(other.session.events)


def test_a_recorded_run_says_why_it_has_no_drawing():
    tab = NoNetwork(SimpleNamespace(session=SimpleNamespace(why="of <old> weights")), "")
    assert "of &lt;old&gt; weights" in tab.view.object
    tab.follow()


# The equation ------------------------------------------------------------------------------------

NUDGED = SMALL.changed(
    task=make("task", "Nudge", {"beta": 0.2, "free_steps": 2}),
    learning=make("learning", "EquilibriumPropagation"),
)


def at(session, row):
    do(session, "seek", row)
    settle(session)
    ends, now = asked(session), now_of(session.showing)
    experiment = session.lane.choices_at(row)[0]
    return experiment, now, ends


def test_the_nudge_is_lit_in_its_phases_with_its_sign():
    session = opened(NUDGED)
    do(session, "step", 14)  # rows 0..2 free, 3..8 plus, 9..14 minus
    for row, phase, sign, colour, said in [
        (1, "free", r"\pm", LIGHT.ghost, "β = 0"),
        (5, "plus", "+", LIGHT.accent, "<b>β = 0.2</b>"),
        (11, "minus", "-", LIGHT.accent, "<b>β = −0.2</b>"),
    ]:
        experiment, now, ends = at(session, row)
        assert now.phase == phase and ends.of == (0, phase, 0)
        assert terms(experiment, now, ends, LIGHT)[-1] == (rf"{sign}\ \beta\, C(h_L, y)", colour)
        words = list(acting(experiment, now, ends, ["1", "2", "3", "4"]))
        assert words[0] == f"phase {phase}, t = {now.t}, {said}"


def test_signs_drawn_for_each_sample_are_both():
    session = opened(
        NUDGED.changed(task=make("task", "Nudge", {"scheme": "random"}), batch_size=20)
    )
    do(session, "step", 3)
    _, now, ends = at(session, 2)
    assert (now.phase, ends.sign, ends.nudges) == ("random", "+-", True)
    assert ends.nudge == pytest.approx(0.05)


def test_f_has_the_terms_of_the_recipe_and_no_others():
    session = opened()
    do(session, "step", 2)
    experiment, now, ends = at(session, 1)
    plain = [r"F =", r"\sum_{\ell}", r"\Pi_\ell", r"E_\ell"]
    assert terms(experiment, now, ends, LIGHT) == [(one, LIGHT.ink) for one in plain]
    do(session, "follow")
    do(session, "change", activity_decay=0.1, output_precision=3.0)
    do(session, "step", 1)
    experiment, now, ends = at(session, 3)
    found = [text for text, _ in terms(experiment, now, ends, LIGHT)]
    assert r"\sum_{\ell < L}" in found and r"+\ \lambda\, \Pi_L E_L" in found
    assert r"\frac{c}{2}" in found[-1]
    assert "λ = 3" in list(acting(experiment, now, ends, "1234"))[-1]
    assert "c = 0.1" in list(acting(experiment, now, ends, "1234"))[-1]


@pytest.mark.parametrize("rest", [None, 0.0])
def test_the_window_says_how_many_layers_count(rest):
    spiking = {} if rest is None else {"precision": make("precision", "Spiking", {"rest": rest})}
    session = opened(SMALL.changed(window=True, **spiking))
    do(session, "step", 3)
    for t, count in enumerate([1, 2, 3, 4]):  # l >= L - t
        experiment, now, ends = at(session, t)
        colour = LIGHT.accent if count < 4 else LIGHT.ink
        assert (r"\sum_{\ell \geq L-t}", colour) in terms(experiment, now, ends, LIGHT)
        said = list(acting(experiment, now, ends, ["1", "2", "3", "4"]))
        words = f"window: {count} of 4 layers count"
        assert said[1] == (f"<b>{words}</b>" if count < 4 else words)
        alone = rest is None or t == 0
        assert len(said) == (3 if alone else 4), "all that count have one precision, or one spikes"


def test_a_spike_is_the_schedules_own_whatever_stands_on_top_of_it():
    """An auxiliary neuron counts 1 / rate times, the output lambda times."""
    resnet = make("network", "ResNet", {"width": 1 / 64, "skips": "published"})
    session = opened(SMALL.changed(network=resnet, precision=SPIKING, output_precision=0.5))
    do(session, "step", 3)
    network = session.lane.training.network
    names = [network.nodes[i].name for i in network.layers]
    for t, which in enumerate([["10"], ["9", "9s"], ["8", "8s"]]):  # depth L - t
        experiment, now, ends = at(session, t)
        lit = [name for name, one in zip(names, now.highest, strict=True) if one]
        assert sorted(lit) == sorted(which) and now.spike == pytest.approx(1.0)
        said = list(acting(experiment, now, ends, names))
        assert said[1].startswith("<b>Π = 1</b> in ")
    nodes = zip(network.layers, now.precision, now.schedule, strict=True)
    scales = {network.nodes[i].name: applied / own for i, applied, own in nodes}
    assert scales["9s"] == pytest.approx(1 / 0.1) and scales["9"] == 1
    assert scales["10"] == pytest.approx(0.5)


@pytest.mark.parametrize("rule", list(cards("dynamics")))
def test_the_rule_of_the_states_is_the_formula_of_its_card(rule):
    chosen = companions(SMALL, make("dynamics", rule))
    session = opened(SMALL.changed(**chosen))
    do(session, "step", 2)
    experiment, now, ends = at(session, 1)
    drawn = equation(experiment, now, ends, LIGHT)
    assert svg(cards("dynamics")[rule].formula, LIGHT.muted, SIZE) in drawn


def test_names_of_layers_are_escaped():
    session = opened(SMALL.changed(precision=SPIKING))
    do(session, "step", 1)
    said = "".join(acting(*at(session, 0), ["1", "2", "3", "<b>"]))
    assert "in &lt;b&gt;, elsewhere" in said


def test_terms_stand_on_one_line_in_their_colours():
    drawn = line((("F =", "#111111"), (r"\Pi_\ell", "#c2410c")))
    assert drawn.startswith("<svg") and "#111111" in drawn and "#c2410c" in drawn
    assert line((("F =", "#111111"), (r"\Pi_\ell", "#c2410c"))) is drawn, "set once"
