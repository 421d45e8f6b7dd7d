"""Relaxations: rows, recipes that change between two steps, snapshots and phases."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from core import Phase, Relaxation, cards, make
from core.diagnostics import diverged
from core.dynamics.gradient import Adam, GradientDescent, HeavyBall, Nesterov
from core.inits.forward import Forward
from core.inits.normal import Normal
from core.inits.zero import Zero
from core.learning.local import ForwardUpdate, Incremental, PredictiveCoding
from core.precisions.decaying import Decaying
from core.precisions.identity import Identity
from core.precisions.profile import Profile
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from core.weights.adamw import AdamW
from core.weights.sgd import SGD
from tests.problems import linear_net, relaxation, tanh_mlp

DYNAMICS = list(cards("dynamics"))
LEARNING = list(cards("learning"))


def states_of(made, rows):
    """The states of the next rows, by advancing without looking."""
    found = []
    for _ in range(rows):
        found.append(made.states)
        made.advance()
    return found


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def noisy(steps=10, seed=0, **choices):
    """A tanh network far from its equilibrium, so that everything moves at once."""
    return relaxation(
        tanh_mlp(),
        init=Normal(sd=0.5),
        generator=torch.Generator().manual_seed(seed),
        steps=steps,
        **choices,
    )


# Rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_relaxation_of_t_steps_has_t_plus_one_rows(steps):
    rows = list(noisy(steps))
    assert [step.moment.t for step in rows] == list(range(steps + 1))
    assert [step.moment.phase_end for step in rows] == [False] * steps + [True]
    assert [step.moment.last for step in rows] == [False] * steps + [True]
    assert {step.moment.phase for step in rows} == {"relax"}


def test_a_row_holds_the_states_before_its_update():
    rows = list(noisy(4, dynamics=GradientDescent(0.1)))
    assert rows[0].before is None
    assert same(rows[0].states, rows[0].first)
    for old, new in pairwise(rows):
        assert same(new.before, old.states)
        assert same(new.first, rows[0].states)
        forces = old.free_energy.forces(old.states)
        expected = [h - 0.1 * g for h, g in zip(old.states, forces, strict=True)]
        assert_close(new.states, expected, rtol=0, atol=1e-15)


def test_running_and_iterating_end_at_the_same_states():
    one, two = noisy(6), noisy(6)
    one.run()
    *_, last = two
    assert same(one.states, last.states)
    assert one.done
    assert two.done


def test_looking_at_a_row_twice_does_not_move_it():
    made = noisy()
    assert made.step() is made.step()
    assert made.t == 0


def test_a_relaxation_may_go_on_past_its_end():
    made = noisy(3)
    made.run()
    made.advance()
    made.advance()
    step = made.step()
    assert step.moment.t == 5
    assert step.moment.phase_end
    longer = noisy(5)
    longer.run()
    assert same(made.states, longer.states)


def test_a_phase_has_the_recipe_s_number_of_steps_or_its_own():
    network, clamped = linear_net()
    made = relaxation((network, clamped), steps=3)
    for own, expected in ((None, 3), (0, 0), (1, 1), (9, 9)):
        made = Relaxation(network, [Phase("relax", own, clamped)], made.recipe)
        made.run()
        assert made.t == made.steps == expected


def test_an_overflow_stays_in_the_rows_as_data():
    made = relaxation(linear_net(), dynamics=GradientDescent(10.0), steps=400)
    total = torch.stack([step.free_energy.total(step.states) for step in made])
    assert len(total) == 401
    at = diverged(total)
    assert at is not None
    assert float(total[at]) > 1e6 * float(total[:5].max()) >= float(total[at - 1])
    assert not torch.isfinite(total[-1])


# Recipes that change -----------------------------------------------------------------------------

CHANGES = [
    {"precision": Spiking()},
    {"precision": Table(rows=((0.5,),))},
    {"dynamics": GradientDescent(0.02)},
    {"dynamics": Nesterov(0.1, 0.9)},
    {"dynamics": Adam()},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_acts_on_the_next_step_only(change):
    plain = [step.states for step in noisy(8)]
    made = noisy(8)
    for step in made:
        t = step.moment.t
        assert same(step.states, plain[t]) == (t <= 3)
        if t == 3:
            made.recipe = replace(made.recipe, **change)
            now = made.step()
            assert now.moment.t == 3
            assert now.states is step.states
            assert now.recipe is made.recipe


def test_a_change_that_is_taken_back_before_the_next_step_leaves_no_trace():
    plain, made = noisy(6), noisy(6)
    plain.run()
    recipe = made.recipe
    for step in made:
        if step.moment.t == 3:
            made.recipe = replace(recipe, precision=Spiking())
            made.recipe = recipe
    assert same(plain.states, made.states)


def test_a_schedule_chosen_at_step_7_starts_its_clock_there():
    made = noisy(20)
    for _ in range(7):
        made.advance()
    made.recipe = replace(made.recipe, precision=Spiking(rest=0.0))
    for k in range(5):
        expected = [1.0 if layer == 5 - k else 0.0 for layer in range(1, 6)]
        assert made.step().free_energy.precision.tolist() == expected
        made.advance()
    assert made.step().free_energy.precision.tolist() == [0.0] * 5
    assert made.t == 12


def test_a_dial_that_is_moved_keeps_the_clock():
    made = noisy(20, precision=Spiking(rest=0.5))
    made.advance()
    made.advance()
    made.recipe = replace(made.recipe, precision=Spiking(rest=0.25))
    assert made.step().free_energy.precision.tolist() == [0.25, 0.25, 1.0, 0.25, 0.25]


def test_a_schedule_that_is_chosen_again_starts_again():
    made = noisy(30, precision=Spiking(rest=0.0))
    for precision in (Identity(), Spiking(rest=0.0)):
        for _ in range(6):
            made.advance()
        made.recipe = replace(made.recipe, precision=precision)
        made.step()
    assert made.step().free_energy.precision.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("schedule", [Spiking(rest=1e-3), Decaying(k=0.3), Profile(g=0.7)])
@pytest.mark.parametrize("at", [0, 3, 8])
def test_a_formula_written_down_as_a_table_goes_on_as_it_was(schedule, at):
    T, states = 8, []
    written = Table(rows=tuple(map(tuple, schedule.table(T, torch.arange(1, 6)).tolist())))
    for later in (schedule, written):
        made = noisy(T)
        made.advance()
        made.advance()
        made.recipe = replace(made.recipe, precision=schedule)
        made.step()  # its step 0 is step 2
        for _ in range(at):
            made.advance()
        made.recipe = replace(made.recipe, precision=later)
        for _ in range(4):
            made.advance()
        states.append(made.states)
    assert same(*states)


def test_what_comes_in_the_place_of_a_table_begins_with_its_step_0():
    made = noisy(20, precision=Table(rows=((0.5,), (0.25,))))
    made.advance()
    made.recipe = replace(made.recipe, precision=Spiking(rest=0.0))
    assert made.step().free_energy.precision.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_a_changed_number_of_steps_keeps_the_clock_and_moves_the_end():
    made = noisy(10, precision=Decaying())
    made.advance()
    made.advance()
    made.recipe = replace(made.recipe, steps=6)
    expected = Decaying().table(6, torch.arange(1, 6))[2]
    assert torch.equal(made.step().free_energy.precision, expected)
    made.run()
    assert made.t == 6


def test_more_steps_at_the_last_row_are_taken():
    made = noisy(3)
    rows = 0
    for step in made:
        rows += 1
        if step.moment.last and rows == 4:
            made.recipe = replace(made.recipe, steps=5)
    assert made.t == 5
    made.recipe = replace(made.recipe, steps=8)
    assert not made.done
    made.run()
    assert made.t == 8


def test_fewer_steps_than_were_taken_end_the_relaxation_here():
    made = noisy(10)
    for _ in range(6):
        made.advance()
    made.recipe = replace(made.recipe, steps=4)
    assert made.step().moment.last
    assert made.done


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (old, new)
        for old in (GradientDescent(0.1), HeavyBall(0.1, 0.9), Adam(0.1))
        for new in (HeavyBall(0.1, 0.5), Nesterov(0.1, 0.5), Adam(0.01))
        if type(old) is not type(new)
    ],
)
def test_memory_is_made_anew_where_the_rule_is_another(old, new):
    made = noisy(10, dynamics=old)
    for _ in range(4):
        made.advance()
    made.recipe = replace(made.recipe, dynamics=new)
    here = made.states
    fresh, _ = new.step(made.step().free_energy, here, new.init(None, here, None))
    made.advance()
    assert same(made.states, fresh)


def test_momentum_goes_on_where_only_a_dial_is_moved():
    made = noisy(10, dynamics=HeavyBall(0.1, 0.5))
    rows = []
    for step in made:
        rows.append(step)
        if step.moment.t == 4:
            made.recipe = replace(made.recipe, dynamics=HeavyBall(0.2, 0.9))
    buffer = [torch.zeros_like(h) for h in rows[0].states]
    for step, after in pairwise(rows):
        m, rate = (0.5, 0.1) if step.moment.t < 4 else (0.9, 0.2)
        forces = step.free_energy.forces(step.states)
        buffer = [m * b + g for b, g in zip(buffer, forces, strict=True)]
        expected = [h - rate * b for h, b in zip(step.states, buffer, strict=True)]
        assert_close(after.states, expected, rtol=0, atol=1e-14)


def test_a_change_of_learning_does_not_touch_the_states():
    plain, made = noisy(6), noisy(6)
    plain.run()
    for step in made:
        if step.moment.t == 2:
            made.recipe = replace(made.recipe, learning=ForwardUpdate())
    assert same(plain.states, made.states)


# Snapshots ---------------------------------------------------------------------------------------


def training_one(dynamics, learning, weights, held=False, seed=0):
    network, clamped = tanh_mlp()
    return relaxation(
        (network, clamped),
        dynamics=dynamics,
        learning=learning,
        precision=Spiking(rest=0.3),
        init=Normal(sd=0.5),
        generator=torch.Generator().manual_seed(seed),
        optimiser=weights(network),
        held=held,
        steps=12,
    )


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("learning", LEARNING)
@pytest.mark.parametrize("weights", [AdamW(rate=0.05), SGD(rate=0.05, momentum=0.9)])
def test_a_relaxation_goes_on_from_a_snapshot_bit_for_bit(dynamics, learning, weights):
    made = training_one(make("dynamics", dynamics), make("learning", learning), weights)
    for _ in range(5):
        made.advance()
    snapshot = made.snapshot()

    def rest():
        rows = states_of(made, 7)
        made.learn()
        found = [p.detach().clone() for p in made.network.parameters()]
        return rows, made.states, found, torch.rand(3, generator=made.generator)

    once = rest()
    made.restore(snapshot)
    assert made.t == 5
    assert same(made.states, snapshot.states)
    again = rest()
    for a, b in zip(once[0], again[0], strict=True):
        assert same(a, b)
    assert same(once[1], again[1])
    assert same(once[2], again[2])
    assert torch.equal(once[3], again[3])


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_a_snapshot_can_be_gone_on_with_by_another_relaxation_of_the_batch(dynamics):
    def fresh(seed=0):
        return training_one(
            make("dynamics", dynamics), PredictiveCoding(), AdamW(), held=True, seed=seed
        )

    made = fresh()
    for _ in range(5):
        made.advance()
    snapshot = made.snapshot()
    made.run()
    other = fresh(seed=1)
    other.restore(snapshot)
    other.run()
    assert same(made.states, other.states)
    assert same(made.first, other.first)


def test_a_snapshot_brings_back_its_recipe_and_its_clock():
    made = noisy(20, precision=Identity())
    for _ in range(4):
        made.advance()
    made.recipe = replace(made.recipe, precision=Spiking(rest=0.0), dynamics=HeavyBall(0.1))
    made.advance()
    snapshot = made.snapshot()
    precision = made.step().free_energy.precision
    made.recipe = replace(made.recipe, precision=Identity(), dynamics=Adam(), steps=3)
    made.advance()
    made.restore(snapshot)
    assert made.recipe.dynamics == HeavyBall(0.1)
    assert made.steps == 20
    assert torch.equal(made.step().free_energy.precision, precision)
    assert precision.tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]


def test_a_snapshot_before_the_first_step_is_the_beginning():
    made = noisy(6, dynamics=Nesterov())
    snapshot = made.snapshot()
    once = [step.states for step in made]
    made.restore(snapshot)
    again = [step.states for step in made]
    for a, b in zip(once, again, strict=True):
        assert same(a, b)


def test_a_snapshot_brings_back_weights_and_the_optimiser_s_memory():
    made = training_one(GradientDescent(), PredictiveCoding(), AdamW(rate=0.1))
    made.run()
    made.learn()
    snapshot = made.snapshot()
    before = [p.detach().clone() for p in made.network.parameters()]
    version = made.network.version
    ends = []
    for _ in range(2):
        made.learn()
        ends.append([p.detach().clone() for p in made.network.parameters()])
        assert made.network.version != version
        made.restore(snapshot)
        assert same(made.network.parameters(), before)
        assert made.network.version == version
    assert same(*ends)
    assert not same(ends[0], before)


def test_snapshots_share_their_weights_until_the_weights_move():
    made = training_one(GradientDescent(), PredictiveCoding(), SGD())
    one = made.snapshot()
    made.advance()
    two = made.snapshot()
    made.learn()
    three = made.snapshot()
    assert one.weights is two.weights
    assert three.weights is not one.weights
    assert three.weights.version != one.weights.version
    assert not same(three.weights.values.values(), one.weights.values.values())


def test_a_snapshot_s_size_counts_its_states():
    made = noisy(3)
    made.advance()
    numbers = sum(h.nelement() for h in made.states)
    assert made.snapshot().bytes == 3 * 8 * numbers  # states, before, first


@pytest.mark.parametrize("new", [SGD(rate=0.1, momentum=0.9), SGD(rate=0.1)])
def test_a_snapshot_from_before_a_change_of_optimiser_can_be_gone_on_with(new):
    made = training_one(GradientDescent(), Incremental(), AdamW(rate=0.05))
    for _ in range(3):
        made.advance()
    snapshot = made.snapshot()
    before = [p.detach().clone() for p in made.network.parameters()]
    made.optimiser = new(made.network)
    ends = []
    for _ in range(2):
        made.run()
        ends.append([p.detach().clone() for p in made.network.parameters()])
        made.restore(snapshot)
        assert same(made.network.parameters(), before)
    assert same(*ends)


def test_states_move_by_the_weights_that_were_just_learnt():
    made = training_one(GradientDescent(0.1), PredictiveCoding(), SGD(rate=0.5))
    made.run()
    made.step().free_energy.forces(made.states)
    made.learn()
    here, row = made.states, made.step().free_energy
    fresh = type(row)(made.network, row.precision, row.clamped)
    expected = [h - 0.1 * g for h, g in zip(here, fresh.forces(list(here)), strict=True)]
    made.advance()
    assert_close(made.states, expected, rtol=0, atol=1e-15)


# Phases ------------------------------------------------------------------------------------------


def two_phases(**choices):
    network, clamped = tanh_mlp()
    one = relaxation((network, clamped), **{"steps": 4, **choices})
    phases = [Phase("free", 4, {0: clamped[0]}), Phase("clamped", 4, clamped)]
    return Relaxation(network, phases, one.recipe), clamped


def test_phases_run_one_after_the_other():
    made, clamped = two_phases(init=Zero())
    rows = list(made)
    assert [step.moment.phase for step in rows] == ["free"] * 5 + ["clamped"] * 5
    assert [step.moment.t for step in rows] == [*range(5), *range(5)]
    assert [step.moment.phase_end for step in rows] == ([False] * 4 + [True]) * 2
    assert [step.moment.last for step in rows] == [False] * 9 + [True]
    for i in range(5):  # the second begins where the first ended, but for what it clamps
        assert torch.equal(rows[5].states[i], rows[4].states[i])
    assert torch.equal(rows[5].states[5], clamped[5])
    assert rows[5].before is None
    assert all(same(step.first, rows[0].states) for step in rows)


def test_the_clock_and_the_memory_begin_anew_with_a_phase():
    made, _ = two_phases(init=Zero(), precision=Spiking(rest=0.0), dynamics=HeavyBall(0.1, 0.9))
    rows = list(made)
    assert torch.equal(rows[5].free_energy.precision, rows[0].free_energy.precision)
    g = rows[5].free_energy.forces(rows[5].states)
    expected = [h - 0.1 * one for h, one in zip(rows[5].states, g, strict=True)]
    assert_close(rows[6].states, expected, rtol=0, atol=1e-15)


def test_a_schedule_that_was_chosen_late_in_one_phase_starts_with_the_next_one():
    made, _ = two_phases(init=Zero())
    for step in made:
        if step.moment.phase == "free" and step.moment.t == 2:
            made.recipe = replace(made.recipe, precision=Spiking(rest=0.0))
        if step.moment.phase == "clamped":
            expected = Spiking(rest=0.0).table(4, torch.arange(1, 6))[
                step.moment.t if step.moment.t < 4 else 3
            ]
            assert torch.equal(step.free_energy.precision, expected)


def test_running_goes_through_all_phases():
    made, _ = two_phases(init=Zero())
    other, _ = two_phases(init=Zero())
    made.run()
    *_, last = other
    assert made.phase.name == "clamped"
    assert same(made.states, last.states)


def test_a_free_phase_from_a_sweep_stays_there():
    made, clamped = two_phases(init=Forward())
    for _ in range(4):
        made.advance()
    for h, mu in zip(made.states, made.network.sweep({0: clamped[0]}), strict=True):
        assert torch.equal(h, mu)


def test_a_snapshot_in_the_second_phase_comes_back_there():
    made, _ = two_phases(init=Zero(), dynamics=HeavyBall())
    for _ in range(7):
        made.advance()
    snapshot = made.snapshot()
    assert snapshot.phase == 1
    made.run()
    end = made.states
    other, _ = two_phases(init=Zero())
    other.restore(snapshot)
    other.run()
    assert same(end, other.states)


def test_a_phase_begins_from_the_end_of_the_phase_that_it_names():
    plain = noisy(3)
    x, y = plain.states[0], plain.states[-1]
    top = len(plain.states) - 1
    phases = [
        Phase("free", 3, {0: x}),
        Phase("plus", 3, {0: x, top: y}),
        Phase("minus", 3, {0: x, top: -y}, begin_from="free"),
    ]
    ends = {}
    for step in Relaxation(plain.network, phases, replace(plain.recipe, init=Forward())):
        if step.moment.t == 0 and step.moment.phase == "minus":
            assert same(step.states[:top], ends["free"][:top])
            assert not same(step.states[:top], ends["plus"][:top])
        ends[step.moment.phase] = step.states
    assert set(ends) == {"free", "plus", "minus"}


def test_a_snapshot_brings_back_which_phases_had_ended_and_where():
    plain = noisy(3)
    x, y = plain.states[0], plain.states[-1]
    top = len(plain.states) - 1
    phases = [
        Phase("free", 3, {0: x}),
        Phase("plus", 3, {0: x, top: y}, begin_from="free"),
        Phase("minus", 3, {0: x, top: -y}, begin_from="free"),
    ]
    made = Relaxation(plain.network, phases, plain.recipe)
    while made.phase.name != "plus":
        made.advance()
    snapshot = made.snapshot()
    told = []
    for _ in range(2):
        made.run()
        told.append(made.step().ended)
        made.restore(snapshot)
    assert [phase.name for phase, _ in made.step().ended] == ["free"]
    assert [phase.name for phase, _ in told[1]] == ["free", "plus"]
    for (_, once), (_, again) in zip(*told, strict=True):
        assert same(once, again)
