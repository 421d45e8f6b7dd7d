"""Precision schedules: the laws of their kind, and each one's own formula."""

import math

import pytest
import torch
from torch.testing import assert_close

from core import BadInput, cards, make
from core.precisions.decaying import Decaying
from core.precisions.identity import Identity
from core.precisions.spiking import Spiking
from core.precisions.table import Table
from tests.problems import relaxation, tanh_mlp

PRECISIONS = list(cards("precision"))


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize(("T", "L"), [(1, 1), (4, 4), (7, 3), (100, 20)])
def test_a_table_has_a_row_for_each_step_and_a_column_for_each_layer(name, T, L):
    table = make("precision", name).table(T, torch.arange(1, L + 1))
    assert table.shape == (T, L)
    assert torch.isfinite(table).all()
    assert (table >= 0).all()


@pytest.mark.parametrize("name", PRECISIONS)
def test_layers_of_one_depth_weigh_the_same(name):
    table = make("precision", name).table(6, torch.tensor([1, 2, 2, 3]))
    assert torch.equal(table[:, 1], table[:, 2])


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_relaxation_applies_row_t_at_step_t_and_the_last_row_past_the_end(name):
    made = relaxation(tanh_mlp(), precision=make("precision", name), steps=6)
    table = make("precision", name).table(6, torch.arange(1, 6)).double()
    for t in range(10):
        row = made.step().free_energy.precision
        assert torch.equal(row, table[min(t, 5)])
        made.advance()


def test_identity_is_one():
    assert torch.equal(Identity().table(3, torch.arange(1, 5)), torch.ones(3, 4))


@pytest.mark.parametrize("rest", [0.0, 1e-3, 0.3, 1.0])
def test_a_layer_spikes_once_when_the_error_arrives(rest):
    table = Spiking(rest=rest).table(6, torch.arange(1, 5))
    for t in range(6):
        for layer in range(1, 5):
            assert float(table[t, layer - 1]) == (1.0 if t == 4 - layer else rest)


def test_a_layer_that_the_error_does_not_reach_never_spikes():
    table = Spiking(rest=0.5).table(2, torch.arange(1, 5))
    assert table.tolist() == [[0.5, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 0.5]]


@pytest.mark.parametrize("k", [0.0, 0.5, 1.0, 3.0])
def test_decaying_is_its_formula(k):
    T, L = 7, 4
    table = Decaying(k=k).table(T, torch.arange(1, L + 1))
    for layer in range(1, L + 1):
        R = T - (L - layer)
        total = sum(math.exp(-k * i) for i in range(R))
        for t in range(T):
            j = t - (L - layer)
            expected = 0.0 if j < 0 else 1.0 if j == 0 else math.exp(-k * j) / 100 * total
            assert float(table[t, layer - 1]) == pytest.approx(expected, rel=1e-14)


def test_a_hand_written_table_is_used_as_it_stands():
    rows = ((1.0, 2.0), (0.0, 0.25))
    table = Table(rows=rows).table(2, torch.arange(1, 3))
    assert_close(table, torch.tensor(rows, dtype=torch.float64), rtol=0, atol=0)


def test_a_short_table_holds_its_last_row_and_one_column_serves_all_layers():
    table = Table(rows=((1.0,), (0.5,))).table(4, torch.arange(1, 4))
    assert table.tolist() == [[1.0] * 3, [0.5] * 3, [0.5] * 3, [0.5] * 3]


def test_a_long_table_is_cut():
    assert Table(rows=((1.0,), (2.0,), (3.0,))).table(2, torch.arange(2)).tolist() == [
        [1.0, 1.0],
        [2.0, 2.0],
    ]


def test_a_table_for_another_depth_is_refused_in_one_line():
    with pytest.raises(BadInput, match=r"^precision\.rows: 2 columns; 1, or one for each of 3"):
        Table(rows=((1.0, 2.0),)).table(4, torch.arange(3))
