"""A program's own loop is logged as it gave it: in any framework, however it ends."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.utils._python_dispatch import TorchDispatchMode

import core
from core.catalogue import BadInput
from core.runs import NotWritten, Run, buffer, open_run
from tests.missing import missing
from tests.problems import scalar_net

NAMES = ["first", "second", "third"]
ENERGY = np.array([[4.0, 2.0, 1.0], [2.0, 2.0, 0.5], [0.25, 8.0, 0.0]])
"""Numbers that every floating-point type holds exactly, (rows, L)."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine"


def opened(path, **options):
    return core.Trace.open(path, **{"layers": NAMES} | options)


def read(path):
    return open_run(path)


def grown(row):
    """A row that hangs on a graph, as energies of a loop do."""
    return torch.tensor(row, requires_grad=True) * 1.0


def jax_row(row):
    return pytest.importorskip("jax").numpy.asarray(row)


GIVEN = {
    "numpy": np.array,
    "numpy float16": lambda row: np.array(row, np.float16),
    "integers and numbers": lambda row: [int(row[0] * 4) / 4, *row[1:]],
    "torch with a graph": grown,
    "torch float64": lambda row: torch.tensor(row, dtype=torch.float64),
    "torch bfloat16": lambda row: torch.tensor(row, dtype=torch.bfloat16),
    "list of torch scalars": lambda row: list(grown(row)),
    "torch scalars and numbers": lambda row: [grown(row)[0], *map(float, row[1:])],
    "jax": jax_row,
    "list of jax scalars": lambda row: list(jax_row(row)),
    "jax bfloat16": lambda row: jax_row(row).astype("bfloat16"),
}


# What is given is what is read ------------------------------------------------------------------


@pytest.mark.parametrize("framework", GIVEN)
def test_energies_of_any_framework_are_read_as_they_were_given(path, framework):
    log = core.Trace.open(path, layers=NAMES)
    for row in ENERGY:
        log.append(energy=GIVEN[framework](row), cost=GIVEN[framework](row)[1])
    log.close()
    data = read(path)
    assert_array_equal(data["energy"].transpose("step", "layer"), ENERGY)
    assert_array_equal(data["cost"], ENERGY[:, 1])
    assert data["energy"].dtype.kind == "f"
    assert data["layer_name"].values.tolist() == NAMES
    assert set(data.data_vars) == {"energy", "cost"}
    assert Run(path).state == "finished"


def test_steps_count_within_batches_and_phases(path):
    log = opened(path)
    for batch in range(2):
        for phase, rows in (("free", 2), ("nudged", 3)):
            for _ in range(rows):
                log.append(energy=ENERGY[0], batch=batch, phase=phase, T=rows - 1)
    log.append(energy=ENERGY[0], t=7, seconds=0.5)
    log.append(energy=ENERGY[0])
    log.close()
    data = read(path)
    assert data["step"].values.tolist() == list(range(12))
    assert data["batch"].values.tolist() == [0] * 5 + [1] * 7
    assert data["t"].values.tolist() == [0, 1, 0, 1, 2] * 2 + [7, 8]
    assert data["phase"].values.tolist() == (["free"] * 2 + ["nudged"] * 3) * 2 + ["nudged"] * 2
    assert data["T"].values.tolist() == [1, 1, 2, 2, 2] * 2 + [2, 2]
    assert data["seconds"].values[-2] == 0.5 and np.isnan(data["seconds"].values[:-2]).all()


def test_rows_that_come_together_are_the_rows_one_by_one(tmp_path):
    force, probability = ENERGY * 2, np.stack([np.eye(3), np.eye(3) / 2, np.eye(3) / 4])
    one, many = (opened(tmp_path / name) for name in ("one", "many"))
    for k in range(3):
        one.append(energy=ENERGY[k], force=force[k], probability=probability[k], cost=k, batch=k)
    one.close()
    together = {"energy": torch.tensor(ENERGY), "force": force, "probability": list(probability)}
    many.append(**together, cost=[0, 1, 2], batch=[0, 1, 2])
    many.close()
    assert Run(tmp_path / "one").digest() == Run(tmp_path / "many").digest()


def test_single_rows_and_several_may_follow_each_other(path):
    log = opened(path)
    log.append(energy=ENERGY[0])
    log.append(energy=torch.tensor(ENERGY[1:2], dtype=torch.float32), cost=[1.0])
    log.append(energy=ENERGY[2])
    log.close()
    data = read(path)
    assert_array_equal(data["energy"], ENERGY)
    assert_array_equal(data["cost"], [np.nan, 1.0, np.nan])
    assert data["t"].values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["numpy", "torch"])
def test_what_the_loop_changes_in_place_later_is_not_seen(path, make):
    log, energy = opened(path), make(ENERGY[0])
    log.append(energy=energy)
    energy *= 0
    log.append(energy=energy)
    log.close()
    assert_array_equal(read(path)["energy"], [ENERGY[0], [0, 0, 0]])


def test_what_is_not_a_number_is_kept(path):
    log = opened(path)
    log.append(energy=[np.nan, np.inf, -np.inf])
    log.close()
    assert_array_equal(read(path)["energy"], [[np.nan, np.inf, -np.inf]])


@pytest.mark.parametrize("beat", [0.0, 1e9], ids=["stored at once", "stored together"])
def test_a_variable_that_only_some_rows_have_is_nan_in_the_others(path, monkeypatch, beat):
    monkeypatch.setattr(buffer, "BEAT", beat)
    log = opened(path)
    log.append(energy=ENERGY[0])
    log.append(energy=ENERGY[1], alignment=[0.5, 0.5, 1.0])
    log.append(energy=ENERGY[2])
    log.close()
    found = read(path)["alignment"].values
    assert_array_equal(found, [[np.nan] * 3, [0.5, 0.5, 1.0], [np.nan] * 3])


def test_the_last_smaller_batch_is_filled_with_nan(path):
    log = opened(path)
    log.append(energy_sample=np.ones((3, 4)), probability=np.ones((4, 2)))
    log.sample([0, 1, 0, 1])
    log.append(energy_sample=np.ones((3, 2)), probability=np.ones((2, 2)), batch=1)
    log.sample([1, 1])
    with pytest.raises(BadInput, match=r"^energy_sample: shape \(3, 5\); 3 layers x 4 samples, or"):
        log.append(energy_sample=np.ones((3, 5)))
    log.close()
    data = read(path)
    assert_array_equal(data["energy_sample"][1], [[1, 1, np.nan, np.nan]] * 3)
    assert_array_equal(np.isnan(data["probability"][1]).all("class"), [0, 0, 1, 1])
    assert Run(path).samples()[1].labels.tolist() == [1, 1, -1, -1]


def test_what_is_per_layer_belongs_to_the_state_that_it_predicts(path):
    log = opened(path)
    log.append(force=[1, 2, 3], activity=[9, 1, 2, 3], states=[np.ones((2, 4))] * 3)
    log.close()
    data = read(path)
    assert_array_equal(data["force"], [[np.nan, 1, 2, 3]])
    assert_array_equal(data["activity"], [[9, 1, 2, 3]])
    assert {"state_1", "state_2", "state_3"} <= set(data) and "state_0" not in data
    assert data["state_3"].sizes == {"step": 1, "sample": 2, "unit_3": 4}
    assert data["layer"].values.tolist() == [1, 2, 3]


def test_units_that_are_said_give_floors_and_none_that_are_not(tmp_path):
    for name, layers in (("known", [4, ("wide", 8)]), ("unknown", ["a", "wide"])):
        log = core.Trace.open(tmp_path / name, layers=layers, dtype="float64")
        log.append(energy=[1.0, 2.0])
        log.close()
    known, unknown = read(tmp_path / "known"), read(tmp_path / "unknown")
    # (1 + t) d eps^2 / 2 of a state of RMS 1, before the first update
    assert_array_equal(known["floor"], [np.array([4, 8]) * 2.0**-104 / 2])
    assert known["layer_name"].values.tolist() == ["layer 1", "wide"]
    assert "floor" not in unknown and "rounding" not in unknown
    assert "error" not in known, "nobody said that the energy is half a squared error"


def test_the_layers_of_a_network_say_units_and_what_its_energies_are(path):
    network, _ = scalar_net()
    log = core.Trace.open(path, layers=network)
    log.append(energy=[0.5] * len(network.layers))
    log.close()
    data = read(path)
    assert data["state_size"].values.tolist() == [node.size for node in network.nodes]
    # E = |e|^2 / 2 with one unit
    np.testing.assert_allclose(data["error"], 1.0, rtol=1e-12)


# Batches, samples, images, weights, notes --------------------------------------------------------


def test_what_is_known_of_batches_is_read_by_batch(path):
    log = opened(path)
    for batch in range(3):
        log.append(energy=ENERGY[batch], batch=batch)
        log.batch(loss=torch.tensor(batch / 2, requires_grad=True), update_norm=ENERGY[batch])
    log.batch(1, accuracy=0.75)
    log.close()
    found = Run(path).batches()
    assert_array_equal(found["loss"], [0, 0.5, 1])
    assert_array_equal(found["accuracy"], [np.nan, 0.75, np.nan])
    assert_array_equal(found["update_norm"], ENERGY)
    assert found["rows"].values.tolist() == [1, 1, 1]


@pytest.mark.parametrize("beat", [0.0, 1e9], ids=["stored at once", "stored together"])
def test_images_belong_to_the_newest_row(path, monkeypatch, beat):
    monkeypatch.setattr(buffer, "BEAT", beat)
    log = opened(path, pixel_shape=(1, 2, 2))
    seen = np.arange(40.0).reshape(10, 1, 2, 2)
    for t in range(3):
        log.append(energy=ENERGY[t])
        if t != 1:
            log.images(prediction=seen + t, prediction_mse=np.full(10, t))
            log.images(swept=torch.tensor(seen[:, 0]))
    log.sample(np.arange(10), seen)
    log.close()
    data = read(path)
    assert data["frame_step"].values.tolist() == [0, 2]
    assert_array_equal(data["prediction"], np.stack([seen[:8], seen[:8] + 2]))
    assert_array_equal(data["swept"], np.stack([seen[:8]] * 2))
    assert_array_equal(data["prediction_mse"], [[0] * 10, [2] * 10])
    assert_array_equal(data["energy"], ENERGY)
    sample = Run(path).samples()[0]
    assert_array_equal(sample.images, seen[:8])
    assert sample.labels.tolist() == list(range(10))


def test_weights_are_of_the_batch_that_comes_next(path):
    log = opened(path)
    first = {"W": torch.ones(2, 2, requires_grad=True)}
    log.weights(first)
    log.append(energy=ENERGY[0])
    log.weights({"W": np.full((2, 2), 2.0)})
    log.weights(first, number=9)
    log.close()
    run = Run(path)
    assert run.kept() == [0, 1, 9]
    assert [run.weights(k)["W"].sum().item() for k in (0, 1, 9)] == [4, 8, 4]


def test_a_note_is_written_while_the_run_goes_on(path):
    log = opened(path, about={"rate": 0.1})
    log.note("slow", title="My loop", tags=["bare"])
    notes = Run(path).notes
    assert (notes.title, notes.note, tuple(notes.tags)) == ("My loop", "slow", ("bare",))
    assert Run(path).manifest["about"]["rate"] == 0.1
    log.close()


def test_a_recipe_of_this_software_stands_beside_the_rows(path):
    experiment = core.Experiment(steps=3)
    log = opened(path, experiment=experiment)
    log.append(energy=ENERGY[0])
    log.close()
    assert Run(path).recipes() == [experiment.recipe.to_dict()]
    assert core.Experiment.from_dict(Run(path).manifest["experiment"]) == experiment


# What is refused ---------------------------------------------------------------------------------

REFUSED = {
    "energy: shape (2,); 3 layers, or rows x 3 layers": {"energy": [1.0, 2.0]},
    "energy: shape (1, 1, 3); 3 layers, or rows x 3 layers": {"energy": np.ones((1, 1, 3))},
    "energy: shape (0, 3); 3 layers": {"energy": np.ones((0, 3))},
    "energy: an empty list; numbers": {"energy": []},
    "energy: many; numbers": {"energy": "many"},
    "energy[1]: None; numbers": {"energy": [1.0, None, 2.0]},
    "energy: a list of shapes (2,) and (3,); one": {"energy": [np.ones(2), np.ones(3)]},
    "energy: an array of complex128; real numbers": {"energy": np.ones(3) * 1j},
    "energy: a tensor of torch.complex64; real": {"energy": torch.ones(3) * 1j},
    "force: shape (5,); 4 states, or rows x 4 states": {"force": np.ones(5)},
    "cost: shape (1, 1); one number, or one for each row": {"cost": [[1.0]]},
    "append: enrgy; one of energy, ": {"enrgy": 1.0},
    "floor: it follows from what is logged; one of ": {"floor": [1, 1, 1]},
    "prediction: of images; log.images(prediction=...)": {"prediction": np.ones((1, 2))},
    "accuracy: of a whole batch; log.batch(accuracy=...)": {"accuracy": 1.0},
    "state_4; states are numbered 0..3": {"state_4": np.ones((2, 2))},
    "states: 3; a list of 3, one for each layer": {"states": 3},
    "state_1: shape (2,); samples x units": {"states": [np.ones(2)] * 3},
    "cost: one row; 2 rows with an axis for them, as energy has": {
        "energy": np.ones((2, 3)),
        "cost": 1.0,
    },
    "append: no value; energy, or": {},
    "batch: -1; an integer of 0 or more": {"energy": [1, 2, 3], "batch": -1},
    "t: 1.5; an integer of 0 or more": {"energy": [1, 2, 3], "t": 1.5},
    "phase: 3; a name": {"energy": [1, 2, 3], "phase": 3},
    "seconds: soon; a number": {"energy": [1, 2, 3], "seconds": "soon"},
    "t: 3 of them; one, or one for each of 2 rows": {"energy": np.ones((2, 3)), "t": [0, 1, 2]},
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_of_it_is_logged(path, line):
    log = opened(path)
    log.append(energy=ENERGY[0])
    with pytest.raises(BadInput) as refused:
        log.append(**REFUSED[line])
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)
    log.append(energy=ENERGY[1])
    log.close()
    assert_array_equal(read(path)["energy"], ENERGY[:2])
    assert read(path)["t"].values.tolist() == [0, 1]


def test_the_nearest_name_is_offered(path):
    log = opened(path)
    with pytest.raises(BadInput, match=r"did you mean energy\?"):
        log.append(enrgy=[1, 2, 3])
    log.close()


def test_batches_that_begin_anew_with_each_epoch_are_refused(path):
    log = opened(path)
    log.append(energy=ENERGY, batch=[0, 1, 1])
    for batch in (0, [1, 0]):
        with pytest.raises(BadInput, match=r"^batch: 0; 1 or more, that of the row before"):
            log.append(energy=ENERGY[:2] if batch else ENERGY[0], batch=batch)
    log.append(energy=ENERGY[0])
    log.close()
    assert read(path)["t"].values.tolist() == [0, 0, 1, 2]


BESIDE = {
    "batch.loss: shape (3,); one number": lambda log: log.batch(loss=[1, 2, 3]),
    "batch.update_norm: shape (); one number for each of 3": lambda log: log.batch(update_norm=1),
    "batch.rows; another name": lambda log: log.batch(rows=1),
    "batch: x; an integer of 0 or more": lambda log: log.batch("x", loss=1),
    "images: energy; of prediction, swept": lambda log: log.images(energy=[1, 2, 3]),
    "image: the shape of images is not known": lambda log: log.images(image=np.ones((2, 1, 2, 2))),
    "labels: shape (2, 2); one class for each": lambda log: log.sample(np.ones((2, 2))),
    "labels: shape (1,); one class for each": lambda log: log.sample([0.5]),
}


@pytest.mark.parametrize("line", BESIDE)
def test_what_does_not_fit_beside_the_rows_is_refused_in_one_line(path, line):
    log = opened(path)
    log.append(energy=ENERGY[0])
    with pytest.raises(BadInput) as refused:
        BESIDE[line](log)
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)
    log.close()


def test_images_of_another_shape_are_refused_and_so_are_those_before_the_first_row(path):
    log = opened(path, pixel_shape=(1, 2, 2))
    with pytest.raises(BadInput, match=r"^images: no row yet"):
        log.images(image=np.ones((2, 1, 2, 2)))
    log.append(energy=ENERGY[0])
    with pytest.raises(BadInput, match=r"^image: shape \(2, 3, 3\); \(images, 1, 2, 2\)"):
        log.images(image=np.ones((2, 3, 3)))
    log.close()


LAYERS = {
    "layers: []; a list of names": {"layers": []},
    "layers: hidden; a list of names": {"layers": "hidden"},
    "layers: 3; a list of names": {"layers": 3},
    "layers: a twice; a name of its own": {"layers": ["a", "b", "a"]},
    "layers[1]: 1.5; an integer of 1 or more": {"layers": [1, 1.5]},
    "layers[0]: ('a', 1, 2); a name": {"layers": [("a", 1, 2)]},
    "dtype: int8; one of float16": {"layers": [1], "dtype": "int8"},
    "pixel_shape: (28,); (channels, rows, columns)": {"layers": [1], "pixel_shape": (28,)},
    "experiment.": {"layers": [1], "experiment": {"stps": 3}},
}


@pytest.mark.parametrize("line", LAYERS)
def test_what_cannot_be_opened_is_refused_and_leaves_nothing(path, line):
    with pytest.raises(BadInput) as refused:
        core.Trace.open(path, **LAYERS[line])
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)
    assert not path.exists()


def test_a_run_that_exists_is_not_written_over(path):
    opened(path).close()
    with pytest.raises(BadInput, match="it exists: resume it"):
        opened(path)


# Going on ----------------------------------------------------------------------------------------


def test_going_on_takes_the_place_of_the_batches_that_are_done_again(path):
    log = opened(path)
    for batch in range(3):
        log.append(energy=[[batch] * 3] * 2, batch=batch, probability=np.ones((2, 4, 2)))
    log.close("interrupted")
    again = opened(path, resume=True)
    again.append(energy=[9, 9, 9], batch=1, probability=np.ones((2, 2)))
    again.append(energy=[9, 9, 9])
    again.close()
    data = read(path)
    assert data["batch"].values.tolist() == [0, 0, 1, 1] and data["t"].values.tolist() == [0, 1] * 2
    assert_array_equal(data["energy"].sel(layer=1), [0, 0, 9, 9])
    assert_array_equal(np.isnan(data["probability"][2]).all("class"), [0, 0, 1, 1])
    assert Run(path).state == "finished" and data.attrs["recovered"] == ""
    third = opened(path, resume=True)
    with pytest.raises(BadInput, match=r"^probability: shape \(5, 2\); 4 samples x 2 classes, or"):
        third.append(probability=np.ones((5, 2)))
    third.append(energy=[5, 5, 5])
    third.close()
    assert read(path)["batch"].values.tolist() == [0, 0, 1, 1, 2]


def test_only_the_same_layers_can_go_on(path):
    opened(path).close()
    with pytest.raises(BadInput, match=r"^resume: .*; as it began: layers first, second, third"):
        opened(path, resume=True, layers=["other"])
    opened(path, resume=True).close()  # and the lock is free


# The ends ----------------------------------------------------------------------------------------


def script(path, text):
    """Run a program that logs; gives its exit code."""
    head = f"import core, os, sys\nlog = core.Trace.open({str(path)!r}, layers=['a'])\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(text)],
        cwd=os.getcwd(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done


LOOP = "for _ in range(3): log.append(energy=[1.0])\n"
CTRL_C = (  # a job in the background of a shell inherits that Ctrl-C is ignored
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "signal.raise_signal(signal.SIGINT)"
)
ENDS = {
    "a loop that is through": (LOOP, "finished"),
    "a function that is through": (
        "def main(log):\n    log.append(energy=[[1.0]] * 3)\nmain(log)\ndel log",
        "finished",
    ),
    "an error that nobody catches": (LOOP + "1 / 0", "failed: ZeroDivisionError: division by zero"),
    "ctrl-c": (LOOP + CTRL_C, "interrupted"),
    "kill -9 after a flush": (LOOP + "log.flush(); os.kill(os.getpid(), 9)", "interrupted"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_that_does_not_close_its_log_leaves_all_rows_and_how_it_ended(path, end):
    text, state = ENDS[end]
    done = script(path, text)
    run = Run(path)
    assert (run.rows(), run.state) == (3, state), done.stderr


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "finished"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("two\nlines"), "failed: ValueError: two lines"),
    ],
    ids=["no error", "ctrl-c", "an error"],
)
def test_a_block_says_how_it_ended(path, error, state):
    with contextlib.suppress(KeyboardInterrupt, ValueError), opened(path) as log:
        log.append(energy=ENERGY[0])
        if error is not None:
            raise error
    run = Run(path)
    assert (run.rows(), run.state) == (1, state)
    log.close("failed: again")  # a second end is none
    assert Run(path).state == state
    with pytest.raises(BadInput, match="it is closed"):
        log.append(energy=ENERGY[0])


def test_a_log_that_nobody_holds_any_more_ends_its_run(path):
    log = opened(path)
    log.append(energy=ENERGY[0])
    del log
    gc.collect()
    assert (Run(path).rows(), Run(path).state) == (1, "finished")


FORKED = """
log.append(energy=[1.0])
child = os.fork()
if not child:
    try:
        log.append(energy=[2.0])
    except core.BadInput as refused:
        assert "writes it, this is another one" in str(refused)
        del log
        sys.exit(0)  # through all that a program does at its end
    sys.exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
from core.runs import Run
assert Run(log.path).state == "live"
log.append(energy=[3.0])
"""


def test_a_forked_process_neither_writes_nor_ends_the_run(path):
    if not hasattr(os, "fork"):
        missing("os.fork (Linux, macOS)")
    done = script(path, FORKED)
    assert done.returncode == 0, done.stderr
    assert_array_equal(read(path)["energy"], [[1], [3]])
    assert Run(path).state == "finished"


# When it is stored -------------------------------------------------------------------------------


def test_others_see_rows_while_the_loop_goes_on(path, monkeypatch):
    log = opened(path)
    run = Run(path)
    assert (run.state, run.rows(0)) == ("live", 0)
    log.append(energy=ENERGY[0])
    time.sleep(buffer.BEAT)
    log.append(energy=ENERGY[1])
    assert run.refresh() and run.rows() == 2
    monkeypatch.setattr(buffer, "BEAT", 1e6)  # for a machine that has much else to do
    log.append(energy=ENERGY[2])
    assert not run.refresh(), "it waits for company"
    monkeypatch.setattr(buffer, "MOST_ROWS", 2)
    log.append(energy=ENERGY[2])
    assert run.refresh() and run.rows() == 4
    log.close()


class Seen(TorchDispatchMode):
    """Names of the operations that torch runs."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


def test_appending_copies_tensors_where_they_are_and_reads_nothing_back(path):
    log = opened(path)
    energy = grown(ENERGY[0])
    with Seen() as seen:
        log.append(energy=energy, cost=energy.sum())
        log.append(energy=[*energy], states=[torch.ones(2, 2)] * 3)
        log.batch(loss=energy.sum())
    made = {"sum", "unbind", "ones"}  # by the test
    assert seen.names - made <= {"clone", "detach", "stack"}
    log.close()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="missing: a CUDA device")
def test_on_a_gpu_nothing_is_waited_for_until_the_flush(path, monkeypatch):
    monkeypatch.setattr(buffer, "BEAT", 1e9)
    log = opened(path)
    rows = [torch.tensor(row, device="cuda", requires_grad=True) * 1 for row in ENERGY]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for row in rows:
            log.append(energy=list(row), cost=row.sum(), force=row)
            log.batch(loss=row.sum())
        with pytest.raises(RuntimeError, match="synchroniz"):
            rows[0].sum().item()  # what the mode is for
    finally:
        torch.cuda.set_sync_debug_mode("default")
    log.close()
    assert_array_equal(read(path)["energy"], ENERGY)


def test_rows_that_the_disk_refused_are_tried_again(path, monkeypatch):
    log = opened(path)
    writer = log._buffer.writer
    log.append(energy=ENERGY[0])
    with monkeypatch.context() as patched:

        def full(lane, chunk):
            raise NotWritten("no space left")

        patched.setattr(writer, "append", full)
        with pytest.raises(NotWritten, match="no space left"):
            log.flush()
        log.append(energy=ENERGY[1])  # not yet due again
    log.close()
    assert_array_equal(read(path)["energy"], ENERGY[:2])


def test_interrupts_between_rows_leave_a_readable_run(path):
    text = f"{LOOP}log.flush()\nprint('ready', flush=True)\nimport time\ntime.sleep(60)\n"
    head = f"import core\nlog = core.Trace.open({str(path)!r}, layers=['a'])\n"
    going = subprocess.Popen([sys.executable, "-c", head + text], stdout=subprocess.PIPE)
    assert going.stdout.readline() == b"ready\n"
    assert Run(path).state == "live"
    going.send_signal(signal.SIGTERM)
    going.wait(60)
    going.stdout.close()
    assert (Run(path).rows(), Run(path).state) == (3, "interrupted")
