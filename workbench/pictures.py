"""What does the network see? The live pictures of one row, as the browser gets them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from workbench.scene import Scene

ROWS = {"input": "input", "image": "h", "prediction": "μ", "swept": "sweep"}
"""Pictures that a scene may hold, in the order in which they are stacked."""


@dataclass(frozen=True)
class Sheet:
    """Pictures of some samples, stacked by what they are.

    Args:
        told: how many samples and rows of pictures, their height, width and channels (one or
            three, and one more where some pixels are transparent), and a text for each sample.
        pixels: row by row of pictures, sample by sample, from the first line of each, a byte a
            channel.
        title: that stands above.
    """

    told: dict[str, Any]
    pixels: bytes
    title: str


def sheet(scene: "Scene") -> Sheet:
    """The pictures of a scene."""
    pictures, texts, title = tiles(scene)
    count = max((len(p) for p in pictures.values()), default=0)
    if not count:
        return Sheet({"count": 0}, b"", title)
    rgba = np.stack([_filled(pixels(one, *scene.pixels), count) for one in pictures.values()])
    lines, _, height, width = rgba.shape
    bytes_of = np.ascontiguousarray(rgba).view(np.uint8).reshape(*rgba.shape, 4)
    grey = next(iter(pictures.values())).shape[1] != 3
    kept = [0] if grey else [0, 1, 2]
    if (bytes_of[..., 3] < 255).any():
        kept.append(3)
    told = {"count": count, "lines": lines, "height": height, "width": width}
    marked = -1 if scene.marked is None else count - 1 if scene.brought else scene.marked
    told |= {"channels": len(kept), "texts": texts, "marked": marked}
    return Sheet(told, bytes_of[..., kept].tobytes(), title)


def sample_at(scene: "Scene", place: int) -> int | None:
    """Number in the batch of the sample whose picture stands at a place; None where none does."""
    count = max((len(one) for one in scene.images.values()), default=0)
    if not 0 <= place < count:
        return None
    return scene.marked if scene.brought and place == count - 1 else place


def tiles(scene: "Scene") -> tuple[dict[str, Any], list[str], str]:
    """Rows of pictures, a text for each sample, and the title."""
    chosen, texts, title = _tiles(scene)
    if scene.brought and chosen:
        there = [np.isfinite(values[-1]).all() for values in chosen.values()]
        kept = "" if all(there) else "input only " if any(there) else "not kept "
        texts = texts or [""] * len(next(iter(chosen.values())))
        texts[-1] = f" {scene.marked}:{texts[-1] or ' '}{kept}"
    return chosen, texts, title


def _tiles(scene: "Scene") -> tuple[dict[str, Any], list[str], str]:
    chosen = {name: scene.images[name] for name in ROWS if name in scene.images}
    errors = scene.errors
    if "image" in chosen and "image" not in errors:
        chosen.pop("input", None)  # a free image has nothing to do with the batch's own
    texts = [f" {label} " for label in scene.labels]
    if "image" in chosen and "prediction" in chosen and "image" not in errors:
        return chosen, [], "h and μ of the free image, from a drawn latent state"
    if "image" in chosen and "image" not in errors:
        return chosen, texts, "h₀, the free image, for each clamped label"
    if errors:
        said = ", ".join(f"{ROWS[n]} {errors[n]:.2g}" for n in chosen if n in errors)
        return chosen, texts, f"{'input; ' if 'input' in chosen else ''}MSE of {said}"
    if len(scene.probability):
        guess, sure = scene.probability.argmax(1), scene.probability.max(1)
        texts = [
            f" {label} → {g}  {p:.2f} "
            for label, g, p in zip(scene.labels, guess, sure, strict=False)
        ]
        right = int((guess == scene.labels[: len(guess)]).sum())
        return chosen, texts, f"images: label → class of μ, {right} of {len(guess)} agree"
    return chosen, texts, "images"


def _filled(rgba: Any, count: int) -> Any:
    """Pictures (n, H, W), with transparent ones behind them where there are fewer than `count`."""
    return np.concatenate([rgba, np.zeros((count - len(rgba), *rgba.shape[1:]), rgba.dtype)])


def pixels(images: Any, low: Any, high: Any, *, dim: float = 1.0) -> NDArray[np.uint32]:
    """Images (..., C, H, W) as RGBA pixels (..., H, W), first row on top: colour of three channels.

    What is not finite is transparent.

    Args:
        images: any number of channels; of other numbers than three the mean is drawn as grey.
        low: black, of all channels or (C,).
        high: white, of all channels or (C,).
        dim: brightness that white is given, of 1.
    """
    low, high = (np.asarray(one, float).reshape(-1, 1, 1) for one in (low, high))
    there = np.isfinite(images)
    share = np.clip((np.where(there, images, low) - low) / (high - low), 0, 1)
    colour = share if share.shape[-3] == 3 else share.mean(-3, keepdims=True)
    made = np.full((*share.shape[:-3], *share.shape[-2:], 4), 255, np.uint8)
    made[..., :3] = np.round(255 * dim * np.moveaxis(colour, -3, -1))
    made[..., 3] = np.where(there.all(-3), 255, 0)
    return made.view(np.uint32)[..., 0]
