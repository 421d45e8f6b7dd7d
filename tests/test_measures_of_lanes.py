"""Diagnostics of a lane against what their definitions give on numbers written down by hand."""

import numpy as np
from test_measures import EPS, falling, lane

from workbench import diagnostics, measures


def of_states(values):
    return ("step", "state"), np.asarray(values, dtype=float)


def test_reach_depth_counts_hidden_states_whose_path_is_more_than_a_share_of_their_size():
    # Three hidden states of sizes 1, 1 and 10; a share of 0.1 is 0.1, 0.1 and 1.
    speed = [[0, 0, 0, 0, 0], [0, 0.09, 0, 0.9, 0], [0, 0.02, 0, 0.05, 0], [0, 0, 0.2, 0.06, 9]]
    activity = np.tile([1.0, 1, 1, 10, 1], (4, 1))
    trace = lane(falling(4, 4), speed=of_states(speed), activity=of_states(activity))
    # Paths: state 1 0, 0.09, 0.11, 0.11; state 2 0, 0, 0, 0.2; state 3 0, 0.9, 0.95, 1.01.
    assert diagnostics.reach_depth(trace, tau=0.1).values.tolist() == [0, 0, 1, 3]


def test_reach_depth_begins_anew_with_each_batch():
    speed = [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]]  # the first row of a batch has no update
    trace = lane(
        falling(2, 4),
        batch=[0, 0, 1, 1],
        speed=of_states(speed),
        activity=of_states(np.ones((4, 3))),
    )
    assert diagnostics.reach_depth(trace).values.tolist() == [0, 1, 0, 0]


def test_settling_is_the_first_step_from_which_on_the_residual_stays_below():
    force = np.array([1.0, 1e-4, 0.1, 1e-4, 1e-5, 1.0, 0.5, 1.0, 1e-9, 1e-9])[:, None]
    trace = lane(
        falling(1, 10), batch=[0] * 5 + [1] * 2 + [2] * 3, force=of_states(np.tile(force, (1, 2)))
    )
    np.testing.assert_array_equal(diagnostics.settling(trace), [3, np.nan, 1])
    np.testing.assert_array_equal(diagnostics.settling(trace, 0.7), [1, 1, 1])


def test_settling_of_the_linear_net_is_the_number_of_the_specification():
    """Gradient descent of rate 0.2 on the linear 2-2-2-2 net: |g| < 1e-10 after 106 steps."""
    from core import recording
    from core.dynamics.gradient import GradientDescent
    from core.recorder import Recorder
    from core.selftest import problems
    from core.trace import Trace

    network, clamped = problems.linear_net()
    relaxation = problems.relaxation(
        (network, clamped), steps=130, dynamics=GradientDescent(rate=0.2)
    )
    trace = Trace(network)
    trace.recipes.append(relaxation.recipe.to_dict())
    assert recording.record(relaxation, trace, Recorder(network, 1)) == ""
    # Four free units: |g| = 2 r, so that the level of r is half of it.
    assert diagnostics.settling(trace.dataset(), 0.5e-10).item() == 106


def test_adjacent_ratio_is_of_squared_norms_of_reached_neighbours():
    # E = 1e-1 ... 1e-4 in sizes 4: the squared norms are 2 E, each ten times the next one's.
    trace = lane(falling(4), sizes=[4, 4, 2, 8, 4])
    np.testing.assert_allclose(diagnostics.adjacent_ratio(trace), [[10, 10, 10]])
    assert diagnostics.adjacent_ratio(trace)["layer"].values.tolist() == [1, 2, 3]
    unreached = lane([[0.0, 1e-2, 1e-3], [4 * EPS**2, 0.0, 1.0]])
    np.testing.assert_array_equal(
        diagnostics.adjacent_ratio(unreached).round(9), [[np.nan, 10], [np.nan, np.nan]]
    )


def test_the_log_term_of_a_precision():
    # d = 4: -2 log(e^3) = -6; log 1 is 0; a precision of zero has no logarithm.
    trace = lane(falling(3)).assign(precision=(("step", "layer"), [[np.e**3, 1.0, 0.0]]))
    np.testing.assert_allclose(diagnostics.log_term(trace), [[-6, 0, np.nan]])


def test_learned_precisions_end_where_F_with_its_log_term_is_least():
    """At fixed errors the sum of precision times energy and log term is least at Pi = d / (2 E)."""
    energy, size = np.array([4.0, 0.25]), np.array([2, 2])
    best = size / (2 * energy)
    np.testing.assert_allclose(best, [0.25, 4])  # the specification's numbers
    least = (best * energy + diagnostics.log_term_of(best, size)).sum()
    for off in (0.9, 1.1):
        other = (off * best * energy + diagnostics.log_term_of(off * best, size)).sum()
        assert other > least


def test_a_wavefront_of_a_forward_init_reaches_one_state_more_a_step():
    from core import Experiment, make
    from core.recording import relax

    tame = Experiment(
        network=make("network", "MLP", {"hidden": (8, 8, 8)}),
        dataset=make("dataset", "SmallDigits"),
        pretraining="random",
        batch_size=10,
        steps=5,
        dtype="float64",
        dynamics=make("dynamics", "GradientDescent", {"rate": 0.5}),
    )
    found = diagnostics.reach_depth(relax(tame)).values
    assert found[:4].tolist() == [0, 1, 2, 3]


def test_the_phases_of_a_batch_begin_where_their_name_changes():
    trace = lane(falling(2, 6), batch=[0, 0, 0, 0, 1, 1])
    names = ["free", "plus", "plus", "minus", "free", "plus"]
    trace = trace.assign_coords(phase=("step", names))
    assert measures.phase_starts(trace).tolist() == [1, 3, 4, 5]
