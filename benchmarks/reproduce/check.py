"""Are the accuracies true? Computed again from weights and raw images by a plain forward pass.

Nothing of this software is imported, and the file runs alone: the images are read from the bytes of
their files, the layers are matrix products and convolutions of torch in float64, and which images
were held out stands in `splits`. MLPs and VGGs are computed; of other networks a line says so.
"""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

ACTIVATIONS = {
    "gelu": functional.gelu,
    "elu": functional.elu,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda z: torch.where(z > 0, z, 0.01 * z),
    "hard_tanh": lambda z: z.clamp(-1, 1),
}

TOLERANCE = 2
"""Images whose two best classes are so close that float32 and float64 may disagree."""

PLACES = {"VGG5": "pppp", "VGG7": "p-pvpv", "VGG10": "--p-p-p-p"}
"""Of each convolution: p for a pool behind it, v where its image is not padded, - for neither."""

CIFAR10 = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""Moments of the works' code."""

CHUNK = 500
"""Images that go through a VGG at once."""

NOT_COMPUTED = "NOT COMPUTED"

Images = tuple[Tensor, Tensor]


def idx(path: Path) -> Tensor:
    """The numbers of a file of MNIST's format, compressed or not."""
    packed = path.with_name(path.name + ".gz")
    raw = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).copy()).reshape(
        shape
    )


def images(root: Path, name: str, split: str) -> Images:
    """Grey values (n, 784) in 0..255 and labels (n,) of "train" or "t10k"."""
    folder = root / name / "raw"
    x, y = (idx(folder / f"{split}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    return x.flatten(1), y.long()


def hits(weights: dict[str, Tensor], said: dict[str, Any], raw: Images) -> float:
    """Share of images whose class has the largest output of a forward pass.

    Args:
        weights: of the network.
        said: the experiment, as its result tells it.
        raw: grey values (n, 784), or colours (n, 3, 32, 32), standardised already; labels (n,).
    """
    if said["network"].get("site", "post") != "post":
        raise ValueError("network.site: pre is not computed here")
    of = _vgg if said["network"]["name"] == "VGG" else _mlp
    layers: dict[int, dict[str, Tensor]] = {}
    for key, value in weights.items():
        _, number, rest = key.split(".", 2)
        layers.setdefault(int(number), {})[rest] = value.double()
    found = [of(layers, said, x) for x in raw[0].split(CHUNK)]
    return float((torch.cat(found).argmax(1) == raw[1]).double().mean())


def _mlp(layers: dict[int, dict[str, Tensor]], said: dict[str, Any], raw: Tensor) -> Tensor:
    """Outputs (n, classes) of an MLP on grey values (n, 784)."""
    scale, x = said["dataset"]["scale"], raw.double() / 255
    if scale == "-1..1":
        x = (x - 0.5) / 0.5
    elif scale != "0..1":
        raise ValueError(f"scale {scale}: not computed here")
    for i in sorted(layers):
        own = {key.rpartition(".")[2]: value for key, value in layers[i].items()}
        x = x @ own["weight"].T
        if "bias" in own:
            x = x + own["bias"]
        if i != max(layers):
            x = ACTIVATIONS[said["network"]["activation"]](x)
    return x


def _vgg(layers: dict[int, dict[str, Tensor]], said: dict[str, Any], x: Tensor) -> Tensor:
    """Outputs (n, classes) of a VGG, BatchNorm by its running statistics."""
    network = said["network"]
    for i, place in enumerate(PLACES[network["layout"]], start=1):
        own = layers[i]
        kernel = next(value for value in own.values() if value.dim() == 4)
        bias = own[next(key for key, value in own.items() if value.dim() == 4)[:-6] + "bias"]
        x = functional.conv2d(x, kernel, bias, padding=0 if place == "v" else 1)
        if "1.running_mean" in own:
            places = own["1.running_mean"], own["1.running_var"]
            x = functional.batch_norm(x, *places, own["1.weight"], own["1.bias"], eps=1e-5)
        x = ACTIVATIONS[network["activation"]](x)
        x = functional.max_pool2d(x, 2) if place == "p" else x
    last = {key.rpartition(".")[2]: value for key, value in layers[max(layers)].items()}
    return x.flatten(1) @ last["weight"].T + last["bias"]


def colours(out: Path, root: Path, found: dict[str, Any]) -> Images:
    """Test images (n, 3, 32, 32), standardised, and labels (n,): of a file of arrays, or CIFAR-10.

    Args:
        out: where the part of the file lies that was trained on.
        root: of the image sets.
        found: the result.
    """
    scale = found["experiment"]["dataset"]["scale"]
    if found["split"]:
        with np.load(out / "images" / found["split"]) as held:
            x, y, of = held["x_test"], held["y_test"], held["x_train"]
        x, of = x.transpose(0, 3, 1, 2) / 255, of.transpose(0, 3, 1, 2) / 255
        by = of.mean((0, 2, 3)), of.std((0, 2, 3))
    else:
        bytes_ = np.fromfile(root / "cifar-10-batches-bin" / "test_batch.bin", np.uint8)
        records = bytes_.reshape(-1, 3073)
        x, y, by = records[:, 1:].reshape(-1, 3, 32, 32) / 255, records[:, 0], CIFAR10
    if scale == "-1..1":
        by = (0.5,) * 3, (0.5,) * 3
    mean, deviation = (torch.tensor(one, dtype=torch.float64)[:, None, None] for one in by)
    return (torch.from_numpy(x) - mean) / deviation, torch.from_numpy(y.astype(np.int64))


def check(out: Path, root: Path) -> list[str]:
    """One line for each number that was computed again; those that differ begin with WRONG."""
    lines, held = [], {}
    for path in sorted((out / "results").glob("*.json")):
        found = json.loads(path.read_text("utf-8"))
        if not found["weights"]:
            continue
        network, name = found["experiment"]["network"], found["experiment"]["dataset"]["name"]
        if network["name"] == "VGG" and network["layout"] in PLACES and name in ("Npz", "CIFAR10"):
            parts = {"test": colours(out, root, found)}
        elif network["name"] == "MLP":
            for split in ("train", "t10k"):
                if (name, split) not in held:
                    held[name, split] = images(root, name, split)
            apart = json.loads((out / "splits" / found["split"]).read_text("utf-8"))
            lines += _split_lines(found, apart)
            x, y = held[name, "train"]
            at = torch.tensor(apart["validation"], dtype=torch.long)
            parts = {"test": held[name, "t10k"]}
            parts |= {"validation": (x[at], y[at])} if len(at) else {}
        else:
            lines.append(f"{NOT_COMPUTED} {found['name']}: {network['name']} on {name}")
            continue
        for epoch, left in found["weights"].items():
            lines += _epoch(out, found, int(epoch), left, parts)
    return lines


def _split_lines(found: dict[str, Any], apart: dict[str, Any]) -> list[str]:
    """A complaint where an image was trained on and held out."""
    both = set(apart["train"]) & set(apart["validation"])
    return [f"WRONG {found['name']}: {len(both)} images are in both splits"] if both else []


def _epoch(
    out: Path, found: dict[str, Any], epoch: int, left: dict[str, str], parts: dict[str, Images]
) -> list[str]:
    """The accuracies after one epoch."""
    file, lines = out / "weights" / left["file"], []
    if hashlib.sha256(file.read_bytes()).hexdigest() != left["sha256"]:
        return [f"WRONG {found['name']} epoch {epoch}: {file.name} is not as it was left"]
    weights, told = load_file(file), found["epochs"][epoch - 1]
    for split, raw in parts.items():
        again = hits(weights, found["experiment"], raw)
        good = abs(again - told[split]) * len(raw[1]) <= TOLERANCE + 1e-6
        line = f"{found['name']} epoch {epoch} {split}: {told[split]:.4%}, again {again:.4%}"
        lines.append(line if good else f"WRONG {line}")
    return lines


if (
    __name__ == "__main__"
):  # `python benchmarks/reproduce/check.py DIR ROOT`, on a machine with torch
    import sys

    told = check(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(told))
    raise SystemExit(any(line.startswith("WRONG") for line in told) or not told)
