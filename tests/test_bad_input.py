"""Bad input, row by row: one line before any work, with field, value and what is legal.

The numbers are those of the project's catalogue of bad input: 1..28 are about choices and numbers.
Rows 14 and 15 are about what an init is given to recall, which comes from elsewhere only by Python.
"""

import numpy as np
import pytest
import torch
import xarray as xr

from core.relaxation import Relaxation

row = pytest.mark.row

LABELLED = {"W1": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]}
"""Weights of one layer from two features to three classes."""

GAPPY = """
from dataclasses import dataclass
import torch
from core import entry
from core.batches import ImageSet

@entry("dataset", "Gappy", formula="x", source="this project")
@dataclass(frozen=True)
class Gappy:
    classes = 3
    def __call__(self):
        x, y = torch.zeros(6, 1, 1, 2), torch.tensor([0, 0, 0, 2, 2, 2])
        return ImageSet("Gappy", x, y, x, y, 3, ("cat", "dog", "cow"), 0.0, 1.0)
"""
"""A data set without an image of class 1."""

SINKING = """
from dataclasses import dataclass
import torch
from core import entry

@entry("precision", "Sinking", formula="2 - t", source="this project")
@dataclass(frozen=True)
class Sinking:
    def table(self, T, depth):
        return 2.0 - torch.arange(T)[:, None].expand(T, len(depth))
"""
"""A schedule that is negative from step 3 on."""


@pytest.fixture
def home(place, scratch, monkeypatch):
    """A folder that holds all that a command could change, and a core that must not relax."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("RELAXOSCOPE_CACHE", str(place.folder / "cache"))
    monkeypatch.setattr(Relaxation, "advance", lambda self: pytest.fail("it relaxed"))
    return place


def recipe(text):
    """The scalar network under a recipe."""
    return lambda home: [*home.scalar(), "--recipe", home.write("r.toml", text)]


def option(*words):
    """The scalar network with an option."""
    return lambda home: [*home.scalar(), *words]


def network(text):
    """The scalar problem under another network."""
    return lambda home: [*home.scalar(), "--network", home.write("other.toml", text)]


def data(x, y, weights=None, **arrays):
    """A network of one layer, by default the labelled one, with some samples."""
    held = LABELLED if weights is None else weights
    return lambda home: home.problem(held, x, y, **arrays)


def named(text, *words):
    """A small network on the digits of 8 x 8 pixels."""
    head = "dataset = 'SmallDigits'\n"
    tail = "\n[network]\nname = 'MLP'\nhidden = [4]\n"
    return lambda home: ["--recipe", home.write("r.toml", head + text + tail), *words]


def plugin(code, text):
    """A recipe that uses a plugin."""
    return lambda home: [
        *("--plugin", home.write("mine.py", code)),
        *("--recipe", home.write("r.toml", text)),
    ]


def rule(name, **dials):
    """A recipe whose rule of the states has some dials."""
    lines = [f"{key} = {value}" for key, value in dials.items()]
    return recipe("\n".join(["[dynamics]", f"name = '{name}'", *lines]))


def weights(value):
    return recipe(f"[weights]\nname = 'AdamW'\nrate = {value}\n")


def rows(value):
    return recipe(f"[precision]\nname = 'Table'\nrows = {value}\n")


ROWS = [
    (1, weights("nan"), 2, ["weights.rate: nan; a finite number in [0, 10]"]),
    (1, weights("inf"), 2, ["weights.rate: inf; a finite number in [0, 10]"]),
    (1, weights("-1.0"), 2, ["weights.rate: -1.0; a finite number in [0, 10]"]),
    (2, rule("GradientDescent", rate=0), 2, ["dynamics.rate: 0; ", "[1e-08, 10]"]),
    (2, rule("HeavyBall", rate=-0.1), 2, ["dynamics.rate: -0.1; ", "[1e-08, 10]"]),
    (2, rule("Adam", rate="nan"), 2, ["dynamics.rate: nan; ", "[1e-08, 10]"]),
    (3, option("--steps", "0"), 2, ["steps: 0; an integer 1..100000"]),
    (3, recipe("steps = -3"), 2, ["steps: -3; an integer 1..100000"]),
    (3, recipe("steps = 100001"), 2, ["steps: 100001; an integer 1..100000"]),
    (4, option("--steps", "12.5"), 2, ["steps: 12.5; an integer"]),
    (4, recipe("steps = '12'"), 2, ["steps: 12; an integer"]),
    (4, recipe("steps = true"), 2, ["steps: True; an integer"]),
    (5, network("name = 'MLP'\nhidden = 784"), 2, ["network.hidden: 784; a list of integers"]),
    (5, data([[1.0, 2.0]], [0], {"W2": [[1.0]]}, classes=1), 2, ["weights.W2", "one of W1"]),
    (6, data([[1.0] * 4], [[1.0] * 3]), 2, ["weights.W1: shape (3, 2); (3, 4) in this network"]),
    (7, data([[1.0, 2.0]], [[1.0] * 5]), 2, ["weights.W1: shape (3, 2); (5, 2) in this network"]),
    (7, data([[1.0, 2.0]], [[1.0] * 3], classes=5), 2, ["data.classes: 5; 3, the width of y"]),
    (8, network("name = 'MLP'\nhidden = [0]"), 2, ["network.hidden[0]: 0; ", "1..65536"]),
    (8, network("name = 'MLP'\nhidden = [4, -2]"), 2, ["network.hidden[1]: -2; ", "1..65536"]),
    (8, network("name = 'MLP'\nhidden = [1000000000]"), 2, ["hidden[0]: 1000000000; ", "65536"]),
    (
        8,
        network(f"name = 'MLP'\nhidden = {[65536] * 200}"),
        3,
        # 199 65536^2 weights and as many biases as units, of 4 bytes
        ["network: 3.42e+03 GB of weights and ", "cpu has ", "narrower layers"],
    ),
    (9, data([[1.0, 2.0]] * 3, [0, 3, 5], classes=3), 2, ["data.y: 3 at sample 1; a class 0..2"]),
    (9, data([[1.0, 2.0]] * 2, [0, -1]), 2, ["data.y: -1 at sample 1; a class 0..0"]),
    (10, data([[1.0, 2.0]] * 2, [0.0, 1.0]), 2, ["data.y: float64 of shape (2,); labels are int"]),
    (10, data([[1.0, 2.0]], [[0, 1, 0]]), 2, ["data.y: int64 of shape (1, 3); labels are int"]),
    (11, named("init = 'Average'\nbatch_size = 25"), 2, ["batch_size: 25", "10 classes", "20 or"]),
    (11, named("init = 'Null'\nbatch_size = 7"), 2, ["batch_size: 7", "10 classes", "take 10)"]),
    (12, named("batch_size = 1498"), 2, ["batch_size: 1498; an integer 1..1497", "SmallDigits"]),
    (12, named("pretraining = 'trained'", "--batch-size", "1498"), 2, ["batch_size: 1498; "]),
    (12, option("--batch-size", "2"), 2, ["batch_size: 2; an integer 1..1"]),
    (12, option("--batch", "7"), 2, ["batch: 7; an integer 0..0"]),
    (13, data(np.zeros((0, 2)), np.zeros((0, 3))), 2, ["data.x: shape (0, 2); ", "empty axes"]),
    (
        13,
        plugin(GAPPY, "dataset = 'Gappy'\ninit = 'Average'\nbatch_size = 3"),
        2,
        ["dataset.train_y: no image of class 1 (dog); at least one of each class"],
    ),
    (16, data([[1.0, np.nan]], [[1.0] * 3]), 2, ["data.x: nan at sample 0, feature 1; a finite"]),
    (16, data([[1.0, 2.0]] * 2, [[1.0] * 3, [1.0, np.inf, 1.0]]), 2, ["data.y: inf at sample 1, "]),
    (16, data([[1e39, 2.0]], [[1.0] * 3]), 2, ["dtype: float32; d.npz overflows it"]),
    (17, recipe("init = 'Forwrad'"), 2, ["init: Forwrad; one of ", "did you mean Forward?"]),
    (17, rule("HeavyBal"), 2, ["dynamics: HeavyBal; one of ", "did you mean HeavyBall?"]),
    (17, network("name = 'MLP'\nactivation = 'tanhh'"), 2, ["activation: tanhh", "mean tanh?"]),
    (17, recipe("weights = 'Adamw'"), 2, ["weights: Adamw; one of ", "did you mean AdamW?"]),
    (17, recipe("learning = 'Magic'"), 2, ["learning: Magic; one of ", "is a plugin missing?"]),
    (17, option("--dtype", "float46"), 2, ["dtype: float46; one of float32, float64"]),
    (20, option("--dtype", "float16"), 2, ["dtype: float16; one of float32, float64"]),
    (20, recipe("dtype = 'float64'\ndevice = 'mps'"), 2, ["dtype: float64; ", "no float64"]),
    (
        20,
        data([[1.0, 2.0]], [[1.0] * 3], {"W1": np.ones((3, 2), dtype=np.int32)}),
        2,
        ["weights.W1: I32; one of F16, BF16, F32, F64"],
    ),
    (21, option("--seed", "-1"), 2, ["seed: -1; an integer 0..4294967295"]),
    (21, option("--seed", str(2**32)), 2, ["seed: 4294967296; an integer 0..4294967295"]),
    (22, rule("HeavyBall", momentum=1.0), 2, ["dynamics.momentum: 1.0; ", "[0, 0.999]"]),
    (22, rule("Nesterov", momentum=-0.1), 2, ["dynamics.momentum: -0.1; ", "[0, 0.999]"]),
    (22, recipe("[init]\nname = 'Forward'\nnoise = -0.1"), 2, ["init.noise: -0.1; ", "[0, 1]"]),
    (22, recipe("[init]\nname = 'Normal'\nsd = -1"), 2, ["init.sd: -1; ", "[0, 10]"]),
    (23, rows("\"__import__('os')\""), 2, ["precision.rows: __import__('os'); a table of finite"]),
    (23, rows("'9**9**9'"), 2, ["precision.rows: 9**9**9; a table of finite numbers"]),
    (23, rows("[['9**9**9']]"), 2, ["precision.rows[0][0]: 9**9**9; a finite number"]),
    (23, rows(f"'{'1+' * 500_000}1'"), 2, ["precision.rows: 1+1+", "...; a table of finite"]),
    (23, rows(f"'{'1' * 2**20}'"), 2, ["recipe: ", "at most 1048576 bytes"]),
    (24, rows("[[1.0], [1.0], [-0.5]]"), 2, ["precision.rows[2][0]: -0.5; ", "[0, 1e+06]"]),
    (24, rows("[[1.0, 1.0], [1.0, nan]]"), 2, ["precision.rows[1][1]: nan; ", "[0, 1e+06]"]),
    (24, rows("[[1.0], [1.0, 2.0]]"), 2, ["precision.rows: rows of lengths [1, 2]; "]),
    (
        24,
        plugin(SINKING, "dataset = 'SmallDigits'\nprecision = 'Sinking'\nsteps = 5"),
        2,
        ["precision: Sinking gives -1 at step 3, layer 1; finite and 0 or more"],
    ),
    (25, option("--device", "cuda:99"), 3, ["device: cuda:99; no such CUDA device; available: "]),
    (25, recipe("device = 'cuda:99'"), 3, ["device: cuda:99; no such CUDA device; available: "]),
    (25, option("--device", "abacus"), 2, ["device: abacus; one of cpu"]),
    (27, recipe("lrx = 0.1"), 2, ["recipe.lrx: lrx; one of init, "]),
    (27, recipe("stesp = 3"), 2, ["recipe.stesp: stesp; one of ", "did you mean steps?"]),
    (27, rule("HeavyBall", momentun=0.5), 2, ["dynamics.momentun", "did you mean momentum?"]),
    (27, option("--stesp", "3"), 2, ["--stesp; one of ", "did you mean --steps?"]),
    (28, option("--dataset", "Digits"), 2, ["--data and --dataset: give one of them"]),
    (28, option("--pretraining", "trained"), 2, ["--weights and --pretraining: give one of them"]),
    (28, recipe("task = 'Reconstruct'"), 2, ["task: Reconstruct; ", "image at its output"]),
    (28, recipe("precision = 'Decaying'\nsteps = 1"), 2, ["precision: Decaying; ", "layers L"]),
]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [pytest.param(*r[1:], id=f"{r[0]}-{i}", marks=row(r[0])) for i, r in enumerate(ROWS)],
)
def test_bad_input_is_refused_in_one_line_before_any_work(home, words, code, said):
    words = words(home)
    came, line = home.refused("relax", *words, "--out", home.out)
    assert came == code, line
    for word in said:
        assert word in line
    assert len(line) < 600 and line[:-1].isprintable()
    assert "Traceback" not in line and not home.out.exists()


@pytest.mark.parametrize("row", [pytest.param(n, marks=row(n)) for n in (14, 15)])
def test_what_an_init_recalls_must_be_of_this_data_and_batch(row):
    """Class means of other classes, and states of another batch or network."""
    from core import BadInput
    from core.inits.average import Average
    from core.inits.null import Null
    from core.start import Start
    from tests.problems import labelled

    (network, clamped), labels = labelled()  # 6 samples of 3 classes
    states = network.sweep(clamped)
    four = [h[:4].detach() for h in states], torch.ones(4, dtype=torch.bool)
    start = {
        14: lambda: Average(m=0)(Start(network, clamped, labels, classes=3, memory=four)),
        15: lambda: Null()(Start(network, clamped, labels, classes=3, previous=four[0])),
    }[row]
    said = {14: "memory: means of 4 classes; 3", 15: "previous: states of shapes [(4, 4)"}[row]
    with pytest.raises(BadInput) as caught:
        start()
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize("row", [9, 10, 12, 16])
def test_what_is_refused_at_the_command_is_refused_by_the_core(row):
    """The same inputs to an image set and its batches."""
    from core import BadInput
    from core.batches import Batches, ImageSet

    x, y = torch.zeros(4, 1, 1, 2), torch.tensor([0, 1, 0, 1])
    rest = (2, ("a", "b"), 0.0, 1.0)
    spoilt = x.clone()
    spoilt[2, 0, 0, 1] = torch.nan
    calls = {
        9: (lambda: ImageSet("toy", x, y + 1, x, y, *rest), "dataset.train_y[1]: 2; a class 0..1"),
        10: (lambda: ImageSet("toy", x, y.double(), x, y, *rest), "dataset.train_y: torch.float64"),
        12: (
            lambda: Batches(ImageSet("toy", x, y, x, y, *rest), 5, aligned=False, seed=0),
            "batch_size: 5; an integer 1..4",
        ),
        16: (lambda: ImageSet("toy", spoilt, y, x, y, *rest), "dataset.train_x[2, 0, 0, 1]: nan"),
    }
    call, said = calls[row]
    with pytest.raises(BadInput) as caught:
        call()
    assert str(caught.value).startswith(said)


# Met on the way ----------------------------------------------------------------------------------


@row(18)
def test_18_a_diverging_relaxation_keeps_its_rows_and_says_step_and_layer(place):
    # dF/dh_1 = 10 (h_1 - 1.7): at rate 10 the distance grows by -99.
    words = [*place.scalar(), *place.rate(10.0), "--steps", 500, "--dtype", "float64"]
    code, out, err = place.run("relax", *words, "--out", place.out)
    trace = xr.load_dataset(place.out)
    assert code == 1 and out.startswith(f"{trace.sizes['step']} rows")
    assert trace.sizes["step"] < 10
    assert f"diverged at step {trace.sizes['step'] - 1} of batch 0, layer 2" in err
    assert "lower dynamics.rate" in err and err.count("\n") == 1
    assert trace.attrs["diverged"] in err


@row(19)
def test_19_a_rise_of_the_energy_is_flagged_and_not_fatal(place):
    # At rate 0.25 the distance goes by -1.5 from 0.3: F - 0.05 by 2.25 from 0.45.
    words = [*place.scalar(), *place.rate(0.25), "--steps", 3, "--dtype", "float64"]
    code, _, err = place.run("relax", *words, "--out", place.out)
    trace = xr.load_dataset(place.out)
    line = "F rises at step 1 of batch 0, from 0.5 to 1.0625: lower dynamics.rate"
    assert code == 0 and err == f"note: {line}\n"
    assert trace.attrs["rises"] == line and trace.attrs["diverged"] == ""
    assert trace.sizes["step"] == 4


@row(19)
def test_19_a_promise_that_is_kept_is_not_mentioned(place):
    trace = place.relax(*place.scalar(), *place.rate(0.1), "--steps", 30)
    assert trace.attrs["rises"] == ""


@row(26)
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ..."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_26_a_want_of_memory_on_the_way_offers_half_the_batch(home, monkeypatch, error):
    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr("core.recording.record", fails)
    files = home.problem(LABELLED, [[1.0, 2.0]] * 40, [[1.0] * 3] * 40)
    code, line = home.refused("relax", *files, "--out", home.out)
    assert code == 3
    assert line.startswith("relaxoscope: out of memory on cpu, of which ")
    assert "GB are free; take --batch-size 20, or fewer rows" in line


def test_26_another_failure_is_not_taken_for_a_want_of_memory(home, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("the memory format is not contiguous")

    monkeypatch.setattr("core.recording.record", fails)
    code, line = home.refused("relax", *home.scalar(), "--out", home.out)
    assert code == 70 and "this is an error of the program" in line


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="missing: a CUDA device")
def test_26_a_full_graphics_card_is_told_with_what_is_free(home, monkeypatch):
    left = torch.cuda.mem_get_info()[0] - 10**9
    held = torch.empty(left, dtype=torch.uint8, device="cuda")
    net = home.write("n.toml", "name = 'MLP'\nhidden = [16384, 16384, 16384]\n")  # 2.1 GB
    np.savez(home.folder / "d.npz", x=np.ones((4, 2)), y=np.zeros(4, dtype=int))
    words = ["--network", net, "--data", home.folder / "d.npz", "--device", "cuda:0"]
    code, line = home.refused("relax", *words, "--out", home.out)
    del held
    assert code == 3 and "out of memory on cuda:0, of which " in line
    assert "take --batch-size 2, or fewer rows" in line
