"""Are the accuracies true? Computed again from weights and raw images by a plain forward pass.

Nothing of this software is imported, and the file runs alone: the images are read from the bytes of
their files, the layers are matrix products of torch in float64, and which images were held out
stands in `splits`.
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
        raw: grey values and labels.
    """
    scale, network = said["dataset"]["scale"], said["network"]
    x = raw[0].double() / 255
    if scale == "-1..1":
        x = (x - 0.5) / 0.5
    elif scale != "0..1":
        raise ValueError(f"scale {scale}: not computed here")
    if network["name"] != "MLP" or network.get("site", "post") != "post":
        raise ValueError(f"{network['name']}: only MLPs are computed here")
    layers = sorted({int(key.split(".")[1]) for key in weights})
    for i in layers:
        of_layer = {
            k.rpartition(".")[2]: v for k, v in weights.items() if k.split(".")[1] == str(i)
        }
        x = x @ of_layer["weight"].double().T
        if "bias" in of_layer:
            x = x + of_layer["bias"].double()
        if i != layers[-1]:
            x = ACTIVATIONS[network["activation"]](x)
    return float((x.argmax(1) == raw[1]).double().mean())


def check(out: Path, root: Path) -> list[str]:
    """One line for each number that was computed again; those that differ begin with WRONG."""
    lines, held = [], {}
    for path in sorted((out / "results").glob("*.json")):
        found = json.loads(path.read_text("utf-8"))
        if not found["weights"]:
            continue
        said, name = found["experiment"], found["experiment"]["dataset"]["name"]
        for split in ("train", "t10k"):
            if (name, split) not in held:
                held[name, split] = images(root, name, split)
        apart = json.loads((out / "splits" / found["split"]).read_text("utf-8"))
        lines += _split_lines(found, apart)
        for epoch, left in found["weights"].items():
            lines += _epoch(out, found, said, int(epoch), left, held, name, apart)
    return lines


def _split_lines(found: dict[str, Any], apart: dict[str, Any]) -> list[str]:
    """A complaint where an image was trained on and held out."""
    both = set(apart["train"]) & set(apart["validation"])
    return [f"WRONG {found['name']}: {len(both)} images are in both splits"] if both else []


def _epoch(
    out: Path,
    found: dict[str, Any],
    said: dict[str, Any],
    epoch: int,
    left: dict[str, str],
    held: dict[tuple[str, str], Images],
    name: str,
    apart: dict[str, Any],
) -> list[str]:
    """The accuracies after one epoch."""
    file, lines = out / "weights" / left["file"], []
    if hashlib.sha256(file.read_bytes()).hexdigest() != left["sha256"]:
        return [f"WRONG {found['name']} epoch {epoch}: {file.name} is not as it was left"]
    weights, told = load_file(file), found["epochs"][epoch - 1]
    x, y = held[name, "train"]
    at = torch.tensor(apart["validation"], dtype=torch.long)
    parts = {"test": held[name, "t10k"]} | ({"validation": (x[at], y[at])} if len(at) else {})
    for split, raw in parts.items():
        again = hits(weights, said, raw)
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
