"""Pokes: what is put is what was asked for, the front goes a layer a step, decay is closed form."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core import BadInput, Phase, make
from core.dynamics.gradient import GradientDescent
from core.engines import CHAIN, LOCAL, PLAIN
from core.inits.forward import Forward
from core.inits.zero import Zero
from core.networks.vgg import VGG
from core.poke import HOW, Poke, places, poke, targets
from tests.problems import equilibrium, linear_chain, network_of, relaxation, tanh_mlp

SIZES = (4, 6, 6, 6, 6, 6, 3)
"""Six layers; states 1 to 5 are free."""


def deep():
    return tanh_mlp(SIZES)


def energies(made, steps):
    """Energy of each layer and sample before each update, (steps + 1, L, B)."""
    found = []
    for k in range(steps + 1):
        step = made.step()
        found.append(step.free_energy.energies(step.states).clone())
        if k < steps:
            made.advance()
    return torch.stack(found)


def advanced(problem, steps, **choices):
    made = relaxation(problem, **{"steps": 100, **choices})
    for _ in range(steps):
        made.advance()
    return made


# What is put -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "put"),
    [
        (Poke("2", "zero"), lambda h: 0.0 * h),
        (Poke("2", "shift", 0.5), lambda h: h + 0.5),
        (Poke("2", "clamp", -1.5), lambda h: torch.full_like(h, -1.5)),
        (Poke("2", "clamp"), lambda h: h),
    ],
)
def test_a_poke_puts_what_was_asked_for_where_it_was_asked_and_nowhere_else(one, put):
    for sample in (None, 3):
        made = advanced(deep(), 4)
        before = [h.clone() for h in made.states]
        poke(made, Poke(**{**asdict(one), "sample": sample}))
        expected = before[2].clone()
        chosen = slice(None) if sample is None else sample
        expected[chosen] = put(before[2])[chosen]
        for i, (h, old) in enumerate(zip(made.states, before, strict=True)):
            assert torch.equal(h, expected if i == 2 else old)


def test_noise_has_its_deviation_and_is_that_of_its_seed():
    problem = network_of((40, 40), (40, 40)), {0: torch.zeros(30, 40, 40).double()}
    drawn = {}
    for seed in (0, 0, 1):
        made = relaxation(problem, steps=1)
        before = made.states[1].clone()
        poke(made, Poke("1", "noise", 0.2, seed=seed))
        found = made.states[1] - before
        if seed in drawn:
            assert torch.equal(found, drawn[seed])
        drawn[seed] = found
    n = drawn[0].numel()
    assert abs(float(drawn[0].mean())) < 5 * 0.2 / n**0.5
    assert float(drawn[0].std()) == pytest.approx(0.2, abs=5 * 0.2 / (2 * n) ** 0.5)
    assert abs(float(np.corrcoef(drawn[0].ravel(), drawn[1].ravel())[0, 1])) < 5 / n**0.5


def test_the_noise_of_a_unit_does_not_depend_on_what_else_is_poked():
    found = []
    for sample in (None, 2):
        made = advanced(deep(), 2)
        poke(made, Poke("3", "noise", 0.3, sample=sample, seed=7))
        found.append(made.states[3][2])
    assert torch.equal(*found)


def test_noise_takes_nothing_from_the_stream_of_the_relaxation():
    made = advanced(deep(), 2, generator=torch.Generator().manual_seed(5))
    before = made.generator.get_state()
    poke(made, Poke("3", "noise", 0.3))
    assert torch.equal(made.generator.get_state(), before)


def pictures(classes=10):
    """A small VGG over images of 8 x 8, and their values."""
    network = VGG(width=1 / 64, pools=2)((1, 8, 8), classes).double()
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    return network, {0: x, network.top: torch.eye(classes)[:3].double()}


@pytest.mark.parametrize("sample", [None, 1])
def test_a_region_of_a_clamped_image_is_another_datum(sample):
    network, clamped = pictures()
    original = clamped[0].clone()
    made = advanced((network, clamped), 2)
    poke(made, Poke("0", "zero", sample=sample, region=(2, 4, 1, 6)))
    expected = original.clone()
    expected[slice(None) if sample is None else sample, :, 2:5, 1:7] = 0
    assert torch.equal(made.states[0], expected)
    made.advance()
    assert torch.equal(made.states[0], expected), "it is clamped to what it was put to"
    assert torch.equal(clamped[0], original), "the batch itself is left alone"
    again = relaxation((network, {**clamped, 0: expected}), init=Forward(), steps=1)
    ours, theirs = (one.network.predictions(one.states)[0] for one in (made, again))
    assert torch.equal(ours, theirs)


def test_a_region_of_a_layer_with_places_is_poked_in_every_channel():
    made = advanced(pictures(), 2)
    before = made.states[1].clone()
    poke(made, Poke("1", "shift", 1.0, region=(0, 1, 2, 3)))
    moved = made.states[1] != before
    assert moved.shape[2:] == (4, 4)
    assert moved[:, :, 0:2, 2:4].all() and moved.sum() == moved[:, :, 0:2, 2:4].sum()


def test_an_image_that_is_kept_flat_has_the_places_of_its_pixels():
    network, _ = tanh_mlp((12, 5, 3))
    network.image = 0
    assert places(network, 0) is None
    assert places(network, 0, (1, 3, 4)) == (1, 3, 4)
    assert places(network, 1, (1, 1, 5)) is None
    x = torch.arange(24.0).reshape(2, 12).double()
    made = relaxation((network, {0: x, 2: torch.ones(2, 3).double()}), steps=2)
    poke(made, Poke("0", "zero", sample=1, region=(1, 1, 2, 3)), (1, 3, 4))
    expected = x.reshape(2, 3, 4).clone()
    expected[1, 1, 2:4] = 0
    assert torch.equal(made.states[0].reshape(2, 3, 4), expected)


# Holding -----------------------------------------------------------------------------------------


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("rule", ["GradientDescent", "HeavyBall", "Adam", "Sweeping", "ErrorBased"])
def test_a_state_that_is_held_whole_moves_the_others_as_a_clamped_state_does(rule):
    dynamics = make("dynamics", rule, {"rate": 0.05})
    made = advanced(deep(), 3, dynamics=GradientDescent(0.1))
    at = made.states
    poke(made, Poke("3", "clamp"))
    network, clamped = deep()
    phase = Phase("clamped", clamped={**clamped, 3: at[3]}, given=dict(enumerate(at)))
    other = relaxation((network, phase.clamped), steps=100, dynamics=dynamics, init=Zero())
    other.states = at
    held = relaxation((network, clamped), steps=100, dynamics=dynamics, init=Zero())
    held.states = at
    held._step = other._step = None
    poke(held, Poke("3", "clamp"))
    for _ in range(6):
        held.advance()
        other.advance()
    assert_close(held.states, other.states, rtol=1e-9, atol=1e-11)
    assert torch.equal(held.states[3], at[3])


def test_what_is_held_stays_until_it_is_released():
    made = advanced(deep(), 3)
    poke(made, Poke("2", "clamp", 0.25, sample=1))
    for _ in range(5):
        made.advance()
    assert (made.states[2][1] == 0.25).all() and not (made.states[2][0] == 0.25).any()
    poke(made, Poke("2", "shift", 0.5))
    made.advance()
    assert (made.states[2][1] == 0.75).all(), "it is held where it was put"
    poke(made, Poke("2", "release"))
    assert not made.phase.held and not made.phase.pinned
    made.advance()
    assert not (made.states[2][1] == 0.75).any()


def test_a_part_can_be_released():
    made = advanced(deep(), 3)
    poke(made, Poke("2", "clamp"))
    held = made.states[2].clone()
    poke(made, Poke("2", "release", sample=0))
    made.advance()
    same = (made.states[2] == held).all(1)
    assert not same[0] and same[1:].all()


def test_a_release_leaves_what_the_task_itself_holds():
    network, clamped = deep()
    mask = torch.zeros(len(clamped[0]), 6, dtype=torch.bool)
    mask[:, :2] = True
    value = torch.full((len(clamped[0]), 6), 0.5).double()
    phase = Phase("some", clamped=clamped, held={2: (value, mask)})
    made = relaxation((network, clamped), steps=50)
    made.phases, made.states = [phase], phase.begun(made.states)
    made._step = None
    poke(made, Poke("2", "clamp", 0.1))
    poke(made, Poke("2", "release"))
    now, still = made.phase.held[2]
    assert torch.equal(still, mask) and (now[mask] == 0.1).all()
    with pytest.raises(BadInput, match="no poke holds any"):
        poke(made, Poke("2", "release"))


def test_pokes_of_a_datum_go_on_into_later_phases_that_hold_the_same_one():
    network, clamped = deep()
    x, y = clamped[0], clamped[6]
    phases = [
        Phase("free", steps=2, clamped={0: x}),
        Phase("pulled", steps=2, clamped={0: x, 6: y}),
        Phase("other", steps=2, clamped={0: x.clone()}),
    ]
    made = relaxation((network, {0: x}), steps=2)
    made.phases, made._step = phases, None
    poke(made, Poke("0", "shift", 1.0))
    poke(made, Poke("6", "shift", 1.0))  # free now
    assert [torch.equal(p.clamped[0], x + 1) for p in made.phases] == [True, True, False]
    assert made.phases[1].clamped[6] is y
    poke(made, Poke("3", "clamp", 0.0))
    made.run()
    assert (made.states[3] == 0).all()


@pytest.mark.oracle("other implementation")
@pytest.mark.parametrize("engine", [LOCAL, CHAIN])
@pytest.mark.parametrize("after", [0, 1, 4])
@pytest.mark.parametrize(
    "one",
    [
        Poke("2", "noise", 0.5),
        Poke("3", "zero", sample=2),
        Poke("5", "shift", -0.3),
        Poke("4", "clamp"),
        Poke("2", "clamp", 0.1, sample=0),
        Poke("0", "noise", 0.2),
        Poke("6", "shift", 0.2),
    ],
    ids=Poke.sentence,
)
def test_no_engine_goes_on_with_what_was_before(one, after, engine):
    found = []
    for by in (engine, PLAIN):
        made = advanced(deep(), after, engine=by)
        if by == LOCAL:
            made.step().free_energy.balance(made.states)
        poke(made, one)
        for _ in range(6):
            made.advance()
        found.append(made.states)
    assert_close(*found, rtol=1e-12, atol=1e-13)


def test_a_snapshot_brings_back_what_was_clamped_and_held():
    made = advanced(deep(), 2)
    x = made.states[0]
    before = made.snapshot()
    poke(made, Poke("0", "shift", 1.0))
    poke(made, Poke("3", "clamp"))
    after = made.snapshot()
    ends = []
    for _ in range(2):
        for _ in range(3):
            made.advance()
        ends.append([h.clone() for h in made.states])
        made.restore(before)
        assert made.phase.clamped[0] is x and not made.phase.held
        made.advance()
        assert torch.equal(made.states[0], x)
        made.restore(after)
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_samples_that_had_stopped_move_again():
    made = relaxation(deep(), steps=400, dynamics=GradientDescent(0.1))
    made.recipe = type(made.recipe)(**{**made.recipe.__dict__, "tolerance": 1e-3, "stop": "sample"})
    made.run()
    assert made._stopped is not None and made._stopped.any()
    poke(made, Poke("3", "shift", 0.5))
    at = made.states[3].clone()
    made.advance()
    assert (made.states[3] != at).any(1).all()


# Physics -----------------------------------------------------------------------------------------


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("engine", [LOCAL, PLAIN])
@pytest.mark.parametrize("state", range(7))
def test_the_front_goes_one_layer_a_step_in_both_directions(state, engine):
    """State l is read by E_l and E_(l+1); each update hands a change on by one state."""
    courses = []
    for poked in (False, True):
        made = advanced(deep(), 8, engine=engine, init=Zero(), dynamics=GradientDescent(0.1))
        if poked:
            poke(made, Poke(str(state), "shift", 0.3))
        courses.append(energies(made, 6))
    moved = (courses[0] != courses[1]).any(2)  # (steps, L)
    for layer in range(1, 7):
        k = max(state - layer, layer - state - 1, 0)
        assert not moved[:k, layer - 1].any() and moved[k, layer - 1], (state, layer)


def hessian_of(network, clamped):
    """d2F/dh2 over the free states of a chain of linear maps, by hand: see `equilibrium`."""
    maps = [network.maps[str(i)].weight.detach() for i in network.layers]
    free = [i for i in range(len(network.nodes)) if i not in clamped]
    rows = []
    for i in free:
        row = []
        for j in free:
            block = torch.zeros(network.nodes[i].size, network.nodes[j].size).double()
            if i == j:
                block += torch.eye(len(block)) + maps[i].T @ maps[i]
            elif j == i + 1:
                block -= maps[i].T
            elif j == i - 1:
                block -= maps[j]
            row.append(block)
        rows.append(torch.cat(row, 1))
    return torch.cat(rows, 0)


@pytest.mark.oracle("closed form")
def test_in_a_linear_network_a_poke_decays_by_the_eigenvalues_of_the_hessian():
    """From rest F - F* = delta^T H (1 - alpha H)^2k delta / 2, delta the poke."""
    network, clamped = linear_chain((3, 4, 2, 3))
    rate, size = 0.05, 0.7
    made = relaxation((network, clamped), steps=100, dynamics=GradientDescent(rate))
    made.states = equilibrium(network, clamped)
    made._step = None
    least = energies(made, 0)[0].sum(0)
    poke(made, Poke("1", "shift", size))
    course = energies(made, 40).sum(1) - least  # (steps, B)
    values, vectors = torch.linalg.eigh(hessian_of(network, clamped))
    delta = (
        torch.cat([torch.full((4,), size, dtype=torch.float64), torch.zeros(2).double()]) @ vectors
    )
    k = torch.arange(41)[:, None]
    expected = 0.5 * (values * (1 - rate * values) ** (2 * k) * delta**2).sum(1)
    assert_close(course, expected[:, None].expand_as(course), rtol=1e-9, atol=1e-12)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"layer": 3}, "poke.layer: 3; the name of a state, as text"),
        ({"layer": "7"}, "poke.layer: 7; one of 0, 1, 2, 3, 4, 5, 6"),
        ({"how": "kick"}, "poke.how: kick; one of noise, zero, shift, clamp, release"),
        ({"how": "noise", "amount": 0.0}, "poke.amount: 0.0; for noise a standard deviation above"),
        ({"how": "noise", "amount": -1}, "poke.amount: -1; for noise"),
        ({"how": "noise", "amount": float("nan")}, "poke.amount: nan; for noise"),
        ({"how": "noise", "amount": float("inf")}, "poke.amount: inf; for noise"),
        ({"how": "noise"}, "poke.amount: None; for noise"),
        ({"how": "noise", "amount": True}, "poke.amount: True; for noise"),
        ({"how": "noise", "amount": "1"}, "poke.amount: 1; for noise"),
        ({"how": "shift", "amount": 0}, "poke.amount: 0; for shift a number other than 0"),
        ({"how": "shift", "amount": 10**400}, "poke.amount: 1000"),
        ({"how": "clamp", "amount": float("nan")}, "poke.amount: nan; for clamp a value"),
        ({"how": "zero", "amount": 1.0}, "poke.amount: 1.0; none for zero"),
        ({"how": "release", "amount": 1.0}, "poke.amount: 1.0; none for release"),
        ({"how": "release"}, "poke.how: release; no poke holds any of these units of 2"),
        ({"layer": "0", "how": "clamp"}, "poke.how: clamp; 0 is clamped already"),
        ({"sample": 8}, "poke.sample: 8; 0..7, as the batch has"),
        ({"sample": -1}, "poke.sample: -1; an integer from 0, or none for all"),
        ({"sample": 1.0}, "poke.sample: 1.0; an integer from 0"),
        ({"region": (0, 0, 0, 0)}, "poke.region: [0, 0, 0, 0]; none, the units of 2 have no"),
        ({"region": (3, 2, 0, 0)}, "poke.region: (3, 2, 0, 0); first row, last row"),
        ({"region": (0, 1)}, "poke.region: (0, 1); first row, last row"),
        ({"region": (0, -1, 0, 0)}, "poke.region: (0, -1, 0, 0); first row"),
        ({"seed": -1}, "poke.seed: -1; an integer 0..4294967295"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_has_happened(given, line):
    made = advanced(tanh_mlp(SIZES, batch=8), 2)
    before = made.snapshot()
    with pytest.raises(BadInput) as refused:
        poke(made, Poke(**{"layer": "2", "how": "zero", **given}))
    said = str(refused.value)
    assert said.startswith(line) and "\n" not in said
    assert made.states is before.states and tuple(made.phases) == before.phases


def test_a_region_beyond_the_places_is_refused():
    made = advanced(pictures(), 1)
    for region in ((0, 8, 0, 1), (0, 1, 3, 8)):
        with pytest.raises(BadInput, match=r"rows within 0\.\.7 and columns within 0\.\.7 of 0"):
            poke(made, Poke("0", "zero", region=region))


def test_relays_are_no_targets():
    network = make("network", "ResNet", {"width": 1 / 64})((3, 32, 32), 10)
    known = targets(network)
    assert not any(network.nodes[i].relay for i in known.values())
    assert len(known) == len(network.nodes) - len(network.relays)


def test_a_poke_is_told_in_one_line_and_as_plain_data():
    one = Poke("4s", "noise", 0.5, sample=2, region=(0, 3, 1, 2), seed=9)
    assert one.sentence() == "poke 4s: noise 0.5, sample 2, rows 0..3, columns 1..2"
    assert Poke(**one.to_dict()) == one and one.to_dict()["region"] == [0, 3, 1, 2]
    assert Poke("1", "zero").to_dict() == {"layer": "1", "how": "zero", "seed": 0}
    assert {Poke("1", how, 1.0 if how in ("noise", "shift") else None).how for how in HOW} == set(
        HOW
    )
