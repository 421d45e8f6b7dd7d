"""A log may lack anything: a view draws what is there, or says what was not logged."""

import warnings

import numpy as np
import pytest

import core
from core.runs import Run
from workbench import measures
from workbench.views import views

random = np.random.default_rng(0)
ROWS, L = 6, 4
E = np.exp(random.normal(size=(ROWS, L)))
PICTURES = random.random((3, 1, 4, 4))
NAMES, UNITS = ["a", "b", "c", "d"], [4, 5, 6, 7]


def each(**values):
    """A loop that logs a row for each row of the energies."""

    def loop(log):
        for k in range(ROWS):
            log.append(**{name: value[k] for name, value in values.items()})

    return loop


def alternating(log):
    for k in range(ROWS):
        log.append(**({"energy": E[k], "alignment": E[k] / 9} if k % 2 else {"error": E[k]}))


def shrinking(log):
    for k in range(ROWS):
        B = 3 - k // 3
        sample, probability = random.random((L, B)), random.random((B, 2))
        log.append(energy=E[k], energy_sample=sample, probability=probability, batch=k // 3)
        log.sample([1, 0, 1][:B])


def pictures(**of_frame):
    def loop(log):
        for k in range(ROWS):
            log.append(energy=E[k])
            log.images(**of_frame)
        log.sample([1, 0, 1], PICTURES)

    return loop


ALL = dict.fromkeys(("energy", "error", "precision", "force", "speed", "activity"), E)
ALL |= dict.fromkeys(("alignment", "update_ratio", "agreement", "prediction_drift"), E / 9)
ALL |= {"cost": E[:, 0], "probability": random.random((ROWS, 3, 2))}
SHAPED = {"layers": NAMES, "pixel_shape": (1, 4, 4)}

LOGS = {
    "energy": ({"layers": NAMES}, each(energy=E)),
    "energy in one row": ({"layers": NAMES}, lambda log: log.append(energy=E[0])),
    "energy of known units": ({"layers": UNITS}, each(energy=E)),
    "energy of some known units": ({"layers": ["a", 5, 6, 7]}, each(energy=E)),
    "energy of many batches": (
        {"layers": NAMES},
        lambda log: log.append(energy=np.tile(E, (20, 1)), batch=np.repeat(np.arange(40), 3)),
    ),
    "error": ({"layers": NAMES}, each(error=E)),
    "cost": ({"layers": NAMES}, each(cost=E[:, 0])),
    "precision": ({"layers": NAMES}, each(precision=E)),
    "energy and precision": ({"layers": NAMES}, each(energy=E, precision=E)),
    "energy and error in turn": ({"layers": NAMES}, alternating),
    "all of unknown units": ({"layers": NAMES}, each(**ALL)),
    "all of known units": ({"layers": UNITS}, each(**ALL)),
    "a smaller last batch": ({"layers": UNITS}, shrinking),
    "free images": (SHAPED, pictures(image=PICTURES)),
    "predictions without errors": (SHAPED, pictures(prediction=PICTURES)),
    "errors without predictions": (SHAPED, pictures(prediction_mse=np.ones(3))),
    "two phases": (
        {"layers": UNITS},
        lambda log: log.append(energy=E, force=E, phase=["free"] * 3 + ["nudged"] * 3),
    ),
    "an experiment of this software": (
        {"layers": NAMES, "experiment": core.Experiment()},
        each(energy=E),
    ),
    "nothing but nan": ({"layers": NAMES}, each(energy=E * np.nan, error=E * np.nan)),
    "no row": ({"layers": NAMES}, lambda log: None),
}


def logged(folder, name):
    options, loop = LOGS[name]
    log = core.Trace.open(folder / "mine", **options)
    loop(log)
    log.close()
    run = Run(folder / "mine")
    data = run.dataset()
    return measures.with_samples(data, run.samples()) if "step" in data.sizes else data


@pytest.mark.parametrize("name", LOGS)
def test_every_view_of_a_log_draws_or_says_in_one_line_what_was_not_logged(tmp_path, name):
    data = logged(tmp_path, name)
    for view, module in views().items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                module.figure(data, None)
                drawn, line = True, ""
            except ValueError as refused:
                drawn, line = False, str(refused)
                assert line.startswith(f"{view}: ") and "\n" not in line
        missing = [k for k in module.NEEDS if k not in data and k != "frame"]
        if missing and view != "reconstruction":
            assert line == f"{view}: the trace has no {', '.join(missing)}; not logged by own code"
        if name.startswith("all") and view != "reconstruction":
            assert drawn, view


@pytest.mark.parametrize(
    "name", ["all of unknown units", "free images", "energy and error in turn"]
)
def test_what_a_figure_draws_of_a_log_is_drawn_for_the_screen_too(tmp_path, name):
    data = logged(tmp_path, name)
    for module in views().values():
        try:
            module.measure(data)
        except ValueError:
            continue
        assert module.view(data) is not None


def test_errors_are_drawn_where_only_they_were_logged(tmp_path):
    found = views()["errors"].measure(logged(tmp_path, "error"))
    np.testing.assert_array_equal(found["error"], E)
    assert found["reached"].all()


def test_where_units_are_not_known_nothing_per_unit_is_made_up(tmp_path):
    data = logged(tmp_path, "all of unknown units")
    assert np.isnan(measures.imbalance(data, per="unit")).all()
    assert np.isnan(measures.residual(data)).all()
    assert "residual" not in views()["total"].measure(data)
    expected = np.log10(E.max(1) / E.min(1))
    np.testing.assert_allclose(measures.imbalance(data), expected, rtol=1e-12)


def test_the_residual_leaves_out_an_input_whose_force_was_not_logged(tmp_path):
    data = logged(tmp_path, "all of known units")
    expected = np.sqrt((np.array(UNITS) * E**2).sum(1) / np.sum(UNITS))
    np.testing.assert_allclose(measures.residual(data), expected, rtol=1e-12)


def test_the_samples_of_a_smaller_batch_alone_are_its_quantiles(tmp_path):
    data = logged(tmp_path, "a smaller last batch")
    found = views()["energy_depth"].measure(data)
    two = data["energy_sample"].values[-1][:, :2]
    np.testing.assert_allclose(found["low"], np.quantile(two, 0.1, axis=1))
    assert np.isfinite(found["high"]).all()
