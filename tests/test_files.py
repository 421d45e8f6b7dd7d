"""Files that somebody hands in: what is taken, what is refused, and which field the line names."""

import io
import zipfile

import numpy as np
import pytest
import tomli_w
import torch
from safetensors.numpy import save_file

from core.catalogue import BadInput
from core.dynamics.gradient import GradientDescent
from core.energies.cross_entropy import CrossEntropy
from core.experiment import Experiment
from core.inits.zero import Zero
from core.networks.decoder import Decoder
from core.networks.mlp import MLP
from core.tasks.dream import Dream
from core.tasks.reconstruct import Reconstruct
from workbench import archives, files

LINEAR = MLP(hidden=(3,), activation="identity", bias=True)


def refusal(read, *args):
    """The one line with which a file is refused."""
    with pytest.raises(BadInput) as refused:
        read(*args)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "some.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        path = tmp_path / "d.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def tensors(tmp_path):
    def write(**arrays):
        path = tmp_path / "w.safetensors"
        save_file(arrays, path)
        return path

    return write


def one_layer(**changes):
    """Weights of a 2-3-2 network, in the simple form."""
    plain = {
        "W1": np.arange(6.0).reshape(3, 2),
        "b1": np.arange(3.0),
        "W2": -np.arange(6.0).reshape(2, 3),
        "b2": np.arange(2.0),
    }
    return {key: value for key, value in (plain | changes).items() if value is not None}


# Networks and recipes ----------------------------------------------------------------------------


def test_a_network_file_is_a_name_and_dials(toml):
    text = 'name = "MLP"\nhidden = [2, 2]\nactivation = "identity"\nbias = false\n'
    assert files.read_network(toml(text)) == MLP((2, 2), "identity", False)
    assert files.read_network(toml('name = "Decoder"')) == Decoder()


def test_a_byte_order_mark_and_carriage_returns_are_read_over(toml):
    assert files.read_network(toml(b'\xef\xbb\xbfname = "MLP"\r\nhidden = [2]\r\n')) == MLP((2,))


def test_a_recipe_takes_names_tables_and_scalars(toml):
    text = 'init = "Zero"\nsteps = 7\n[dynamics]\nname = "GradientDescent"\nrate = 0.5\n'
    found = files.read_recipe(toml(text))
    assert found == {"init": Zero(), "steps": 7, "dynamics": GradientDescent(0.5)}


def test_a_recipe_reads_what_an_experiment_writes(toml):
    written = Experiment(init=Zero(), steps=7, network=LINEAR)
    again = Experiment(**files.read_recipe(toml(tomli_w.dumps(written.to_dict()))))
    assert again == written


@pytest.mark.row(71)
@pytest.mark.parametrize("read", [files.read_network, files.read_recipe])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = \n", ("line 1, column 9",)),
        ("a = 1\nb = [1,\n", ("line 3, column 1",)),
        ("a = 1\na = 2", ("line 2, column 6",)),
        (b"a = 1\n# caf\xe9", ("line 2, column 6", "0xe9", "UTF-8")),
        ("a = [1" + 400 * "0" + "]", (".a[0]", "64 bits")),
        ("a = 1" + 5000 * "0", ("4300 digits",)),
        ("a = " + 100_000 * "[", ("nested",)),
        (b"# " + 2**20 * b"a", ("1048576 bytes",)),
    ],
)
def test_broken_toml_names_the_place(read, toml, text, words):
    line = refusal(read, toml(text))
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (files.read_network, "hidden = [2]", ("network", "name")),
        (files.read_network, 'name = "MPL"', ("network", "MPL", "did you mean MLP?")),
        (files.read_network, "name = [1]", ("network.name", "[1]")),
        (files.read_network, 'name = "MLP"\nhiden = [2]', ("network.hiden", "mean hidden?")),
        (files.read_network, 'name = "MLP"\nhidden = [2, 1.5]', ("network.hidden[1]", "1.5")),
        (files.read_network, 'name = "MLP"\nhidden = [0]', ("network.hidden[0]", "1..65536")),
        (files.read_recipe, "stesp = 3", ("recipe.stesp", "mean steps?")),
        (files.read_recipe, "schema = 9", ("recipe.schema", "9")),
        (files.read_recipe, 'init = "Forwrad"', ("init", "mean Forward?")),
        (files.read_recipe, "init = 3", ("init", "3")),
        (
            files.read_recipe,
            'dynamics = {name = "GradientDescent", rate = nan}',
            ("dynamics.rate", "nan"),
        ),
    ],
)
def test_what_is_not_in_the_catalogue_is_refused_with_the_nearest(read, toml, text, words):
    line = refusal(read, toml(text))
    assert all(word in line for word in words), line


@pytest.mark.parametrize("read", [files.read_network, files.read_recipe, archives.read_data])
def test_a_missing_file_and_a_folder_are_named(read, tmp_path):
    assert "nowhere; no such file" in refusal(read, tmp_path / "nowhere")
    assert str(tmp_path) in refusal(read, tmp_path)


def test_toml_comes_through_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"steps = 3")))
    assert files.read_recipe("-") == {"steps": 3}


# Weights -----------------------------------------------------------------------------------------


def test_the_simple_keys_are_the_layers_maps(tensors):
    network = LINEAR((1, 1, 2), 2)
    values = files.read_weights(tensors(**one_layer()), network)
    assert values.keys() == network.state_dict().keys()
    network.load_state_dict(values)
    x = torch.tensor([[1.0, -1.0]])
    # W1 x + b1 = (-1, -1, -1) + (0, 1, 2) = (-1, 0, 1); -W2 of it = (-2, -2), + (0, 1).
    assert network.sweep({0: x})[2].tolist() == [[-2.0, -1.0]]


@pytest.mark.parametrize("activation", ["tanh", "identity"])
def test_the_keys_of_the_state_dict_give_the_same_network(tensors, activation):
    network = MLP((3,), activation, True)((1, 1, 2), 2)
    inner = "maps.1." if activation == "identity" else "maps.1.0."
    full = [inner + "weight", inner + "bias", "maps.2.weight", "maps.2.bias"]
    assert set(full) == set(network.state_dict())
    simple = files.read_weights(tensors(**one_layer()), network)
    named = dict(zip(full, one_layer().values(), strict=True))
    other = files.read_weights(tensors(**named), network)
    assert all(torch.equal(simple[key], other[key]) for key in full)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_weights_of_any_floating_type_become_the_networks(tensors, kind):
    network = LINEAR((1, 1, 2), 2).double()
    path = tensors(**{key: value.astype(kind) for key, value in one_layer().items()})
    found = files.read_weights(path, network)
    assert all(value.dtype == torch.float64 for value in found.values())
    assert found["maps.1.weight"].tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.row(44)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"b2": None}, ("weights.b2", "missing", "(2,)")),
        ({"W3": np.ones((2, 2))}, ("weights.W3", "mean W")),
        ({"maps.1.weight": np.ones((3, 2))}, ("weights.maps.1.weight", "W1, b1")),
        ({"W1": np.ones((2, 3))}, ("weights.W1", "(2, 3)", "(3, 2)")),
        ({"W1": np.ones((3, 2), np.int64)}, ("weights.W1", "I64", "F32")),
        ({"W2": np.array([[1, 2, 3], [4, np.nan, 6]])}, ("weights.W2[1, 1]", "nan")),
        ({"W2": np.full((2, 3), 1e300)}, ("weights.W2[0, 0]", "inf")),
    ],
)
def test_a_wrong_tensor_is_named_by_its_key(tensors, changes, words):
    line = refusal(files.read_weights, tensors(**one_layer(**changes)), LINEAR((1, 1, 2), 2))
    assert all(word in line for word in words), line


@pytest.mark.row(43)
def test_pickle_is_refused_as_such(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"W1": torch.ones(2)}, path)
    assert "pickle is not accepted" in refusal(files.read_weights, path, LINEAR((1, 1, 2), 2))


def test_a_mutilated_weights_file_is_refused_or_read_but_never_crashes(tensors, tmp_path):
    network = LINEAR((1, 1, 2), 2)
    whole = tensors(**one_layer()).read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(files.Damaged):
            files.read_weights(path, network)
    header = 8 + int.from_bytes(whole[:8], "little")
    for at in range(header):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            files.read_weights(path, network)
        except BadInput:
            pass


# Data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shape"), [((4, 6), (1, 1, 6)), ((4, 2, 3), (1, 2, 3)), ((4, 5, 2, 3), (5, 2, 3))]
)
def test_samples_keep_their_order_and_get_channels(npz, given, shape):
    x = np.arange(np.prod(given), dtype=np.float64).reshape(given)
    data = archives.read_data(npz(x=x, y=np.array([0, 2, 1, 0])))
    assert data.shape == shape
    assert data.x.flatten(1).tolist() == x.reshape(4, -1).tolist()
    assert data.labels.tolist() == [0, 2, 1, 0]
    assert (data.classes, data.targets) == (3, None)


@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8", ">f8"])
def test_any_floating_type_and_byte_order_is_read(npz, kind):
    data = archives.read_data(npz(x=np.array([[1.5, -2.0]], kind), y=np.array([[0.25]], kind)))
    assert data.x.flatten().tolist() == [1.5, -2.0]
    assert data.targets.tolist() == [[0.25]]
    assert (data.classes, data.labels) == (1, None)


def test_classes_may_be_more_than_the_labels_show(npz):
    x = np.zeros((2, 3))
    assert archives.read_data(npz(x=x, y=np.array([0, 1], np.uint8), classes=5)).classes == 5


GOOD = {"x": np.zeros((3, 2)), "y": np.array([0, 1, 1])}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": None}, ("data.x", "missing")),
        ({"x": np.array([[0, 1], [2, np.nan], [3, 4]])}, ("data.x", "nan", "sample 1, feature 1")),
        ({"x": np.array([[0, 1], [2, 3], [-np.inf, 4]])}, ("-inf", "sample 2, feature 0")),
        ({"x": np.zeros((3, 2), int)}, ("data.x", "int64", "float")),
        ({"x": np.zeros((3, 2), complex)}, ("data.x", "complex128")),
        ({"x": np.zeros(3)}, ("data.x", "(3,)", "(n, d)")),
        ({"x": np.zeros((0, 2))}, ("data.x", "(0, 2)")),
        ({"x": np.array([["a", "b"]])}, ("data.x", "<U1")),
        ({"x": np.array([[None, 1]])}, ("data.x", "pickle is not accepted")),
        ({"y": np.array([0, 1])}, ("data.y", "2 labels", "3")),
        ({"y": np.array([0, -1, 1])}, ("data.y", "-1 at sample 1")),
        ({"y": np.array([0, 7, 1]), "classes": 3}, ("data.y", "7 at sample 1", "0..2")),
        ({"y": np.array([0, 10**9, 1])}, ("data.y", "1000000000 at sample 1", "65536")),
        ({"y": np.array([0.0, 1.0, 1.0])}, ("data.y", "float64 of shape (3,)", "integers")),
        ({"y": np.eye(3, dtype=int)}, ("data.y", "int64 of shape (3, 3)", "floating point")),
        ({"y": np.array([[0.0], [np.nan], [0]])}, ("data.y", "nan at sample 1, feature 0")),
        ({"y": np.zeros((2, 2))}, ("data.y", "2 targets", "3")),
        ({"y": np.zeros((3, 2)), "classes": 3}, ("data.classes", "3", "2, the width of y")),
        ({"classes": 0}, ("data.classes", "0", "1..65536")),
        ({"classes": 2.0}, ("data.classes", "float64")),
        ({"X": np.zeros(2)}, ("data.X", "x, y, classes", "mean x?")),
        ({"Y\nnpy": np.zeros(2)}, (r"data.'Y\nnpy': 'Y\nnpy'; one of x, y, classes",)),
    ],
)
def test_a_wrong_array_is_named_with_its_first_bad_place(npz, changes, words):
    arrays = {key: v for key, v in (GOOD | changes).items() if v is not None}
    line = refusal(archives.read_data, npz(**arrays))
    assert all(word in line for word in words), line


def test_a_header_that_promises_terabytes_is_not_believed(tmp_path):
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (500_000_000, 1000)}
    np.lib.format.write_array_header_1_0(header, claim)
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(16))
    with pytest.raises(files.Damaged, match="4000000000000 bytes"):
        archives.read_data(path)


def test_more_bytes_than_fit_are_refused_before_they_are_unpacked(npz, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_ARRAYS", 100)
    assert "at most 100" in refusal(archives.read_data, npz(**GOOD))


def test_a_mutilated_data_file_is_refused_or_read_but_never_crashes(npz, tmp_path):
    whole = npz(**GOOD).read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(2, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(files.Damaged):
            archives.read_data(path)
    for at in range(2, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            archives.read_data(path)
        except BadInput:
            pass


def test_what_is_no_archive_is_bad_input_and_not_damage(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("1,2\n")
    assert "an .npz file" in refusal(archives.read_data, path)


def test_batches_are_consecutive_and_full(npz):
    data = archives.read_data(npz(x=np.arange(14.0).reshape(7, 2), y=np.arange(7)))
    batch = data.batch(1, 3)
    assert (batch.index.tolist(), batch.y.tolist(), batch.number) == ([3, 4, 5], [3, 4, 5], 1)
    assert batch.x.flatten(1).tolist() == [[6, 7], [8, 9], [10, 11]]
    assert "0..1" in refusal(data.batch, 2, 3)
    assert "1..7" in refusal(data.batch, 0, 8)


# Phases ------------------------------------------------------------------------------------------


def phases(data, **choices):
    """The first phase of a file's first batch, and its labels."""
    experiment = Experiment(network=choices.pop("network", LINEAR), **choices)
    network = experiment.build(data.shape, data.classes)
    made, labels = data.phases(experiment, network, data.batch(0, len(data.x)))
    return made[0].clamped, labels


def test_labels_are_clamped_as_one_hot(npz):
    clamped, labels = phases(archives.read_data(npz(**GOOD)))
    assert clamped[2].tolist() == [[1, 0], [0, 1], [0, 1]]
    assert labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("choices", [{}, {"task": Dream(), "init": Zero()}])
def test_real_targets_are_clamped_as_they_are(npz, choices):
    y = np.array([[0.5, -1.0], [2.0, 3.0], [4.0, 5.5]])
    clamped, labels = phases(archives.read_data(npz(x=GOOD["x"], y=y)), **choices)
    assert clamped[2].tolist() == y.tolist()
    assert labels is None


def test_a_reconstruction_needs_no_y_and_refuses_targets(npz):
    choices = {"task": Reconstruct(), "init": Zero(), "network": Decoder(2, (2,))}
    x = np.arange(6.0).reshape(3, 2)
    clamped, _ = phases(archives.read_data(npz(x=x)), **choices)
    assert clamped[2].tolist() == x.tolist()
    data = archives.read_data(npz(x=x, y=np.zeros((3, 2))))
    with pytest.raises(BadInput, match=r"data\.y: .*leave y out"):
        phases(data, **choices)


def test_a_classification_needs_y(npz):
    data = archives.read_data(npz(x=GOOD["x"]))
    with pytest.raises(BadInput, match=r"data\.y: missing"):
        phases(data)


def test_cross_entropy_needs_targets_that_are_distributions(npz):
    y = np.array([[0.5, 0.5], [1.0, 0.0], [0.7, 0.7]])
    data = archives.read_data(npz(x=GOOD["x"], y=y))
    with pytest.raises(BadInput, match=r"data\.y: sum 1\.4 at sample 2"):
        phases(data, energy=CrossEntropy())


def test_numbers_that_overflow_the_dtype_are_refused(npz):
    data = archives.read_data(npz(x=np.full((3, 2), 1e300), y=GOOD["y"]))
    with pytest.raises(BadInput, match="dtype: float32"):
        phases(data)
    assert float(phases(data, dtype="float64")[0][0].max()) == 1e300
