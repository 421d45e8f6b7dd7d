"""How do maps leave the screen? As numbers in a Dataset, and from it a figure one column wide.

In a notebook, `dataset(maps_of(step, network, Wanted(layer=2), pixels=images.shape))` has the
numbers of a step of any relaxation, and `figure` draws them.
"""

import io
import json
import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator

from core.catalogue import BadInput, unknown
from core.experiment import Experiment
from workbench import figures, look
from workbench.maps import ERROR, SHOWN, SPREAD, Maps
from workbench.maps_draw import Scale, Tiles, fading
from workbench.maps_field import BELOW, IMAGE
from workbench.pictures import pixels

GRADIENT = {
    IMAGE: r"\sqrt{\sum_c (\partial \mu_u / \partial x_{cij})^2},\ \mu = f_\ell \cdots f_1(x)",
    BELOW: r"\sqrt{\sum_c (\partial \mu_u / \partial h_{cij})^2}",
}
"""What the map of what a unit reads shows."""

PLACES = ("channel", "row", "column")

TALLEST = 1.9
"""Inches of the sheet of channels, at most."""

DIM = 0.5
"""Brightness of white in the image below a map."""


def dataset(maps: Maps, experiment: Experiment | None = None) -> xr.Dataset:
    """All numbers of a look at a layer, with their formulas.

    Args:
        maps: what was looked at.
        experiment: that it is of, where it is known.

    Returns: the quantities of `SHOWN` over channel, row and column; `spread` over row and column,
        where the layer has places; `image`; `gradient` of the chosen unit over the places, or the
        units, of what it reads.
    """
    found: dict[str, Any] = {}
    for name, values in maps.values.items():
        about = {"long_name": SHOWN[name][0], "formula": maps.formula[name]}
        found[name] = (PLACES, values, about)
    if maps.spread is not None:
        about = {"long_name": "RMS error over channels", "formula": SPREAD}
        found["spread"] = (PLACES[1:], maps.spread, about)
    if maps.image is not None:
        about = {"long_name": f"state {maps.image_state}, the image"}
        found["image"] = (("colour", "image_row", "image_column"), maps.image, about)
    read = maps.read
    if read.heat is not None:
        about = {"long_name": f"gradient by {maps.source}", "formula": GRADIENT[read.reads]}
        found["gradient"] = (("read_row", "read_column"), read.heat, about)
    attrs = {
        "layer": maps.name,
        "source": maps.source,
        "has_places": int(maps.has_places),
        "sample": maps.wanted.sample,
        "label": maps.label,
        "lane": maps.lane,
        "step": maps.row,
        "batch": maps.batch,
        "t": maps.t,
        "phase": maps.phase,
        "unit": json.dumps(maps.unit),
        "box": json.dumps(read.box),
        "read_places": int(read.places),
        "why": read.why,
        "low": float(maps.pixels[0]),
        "high": float(maps.pixels[1]),
        "experiment": json.dumps({} if experiment is None else experiment.to_dict()),
    }
    return xr.Dataset(found, attrs=attrs)


def figure(data: xr.Dataset, shows: str = ERROR) -> Figure:
    """The channels of a layer; below them its error over the image, and what a unit reads.

    Args:
        data: as `dataset` gives it, or read back from its NetCDF.
        shows: which of `SHOWN` the channels are of.

    Raises:
        BadInput: for another quantity, or one that the layer does not have.
    """
    if shows not in SHOWN:
        raise BadInput(f"shows: {unknown(shows, SHOWN)}")
    if shows not in data:
        raise BadInput(f"shows: {shows}; layer {data.attrs['layer']} is clamped, others have it")
    from workbench.views.marks import on_paper

    return on_paper(_figure)(data, shows)


def bundle(data: xr.Dataset, shows: str = ERROR) -> dict[str, bytes]:
    """The figure in every format, the numbers, the recipe and a draft of the caption, by name."""
    files = {}
    with look.paper_style():
        drawn = figure(data, shows)
        for ending, metadata in figures.FORMATS.items():
            buffer = io.BytesIO()
            drawn.savefig(buffer, format=ending, metadata=metadata)
            files[f"figure.{ending}"] = buffer.getvalue()
    files["data.nc"] = figures.netcdf(data)
    files["recipe.toml"] = figures.toml(json.loads(data.attrs["experiment"]))
    files["README.txt"] = caption(data, shows).encode()
    return files


def bytes_of(data: xr.Dataset, shows: str = ERROR) -> bytes:
    """The bundle as a zip in memory, for a download; the same bytes whenever it is made."""
    return figures._zipped(bundle(data, shows))


def caption(data: xr.Dataset, shows: str) -> str:
    """A draft of the caption, and what lies beside it."""
    about = data.attrs
    names = [shows, "spread", "gradient"]
    lines = [
        f"{SHOWN[shows][0].capitalize()} of layer {about['layer']}: {_where(data)}.",
        "Left below: RMS error over channels. Right below: what the prediction of unit (channel, "
        f"row, column) = {tuple(json.loads(about['unit']))} reads; frame: its receptive field.",
        "",
        *(f"  {n}: {data[n].attrs['formula']}" for n in names if n in data),
        "",
        "data.nc       all numbers (xarray, NetCDF); the figure can be drawn again from it:",
        "                from workbench import figures, maps_figure",
        f'                maps_figure.figure(figures.load("data.nc"), "{shows}")',
        "recipe.toml   the complete experiment",
        *(["", about["layers_named"]] if about.get("layers_named") else []),
    ]
    return "\n".join(lines) + "\n"


def _figure(data: xr.Dataset, shows: str) -> Figure:
    from workbench.views.marks import sheet

    values = data[shows].transpose(*PLACES).values
    tiles = Tiles.of(values.shape, (look.COLUMN, TALLEST))
    tall = min(TALLEST, look.COLUMN * tiles.height / tiles.width) + 0.45
    below = 0.5 * look.COLUMN + 0.2
    fig = sheet(tall + below)
    parts = fig.add_gridspec(2, 1, height_ratios=[tall, below])
    _channels(fig.add_subplot(parts[0]), data, shows, tiles)
    left, right = (fig.add_subplot(one) for one in parts[1].subgridspec(1, 2))
    _spread(left, data)
    _gradient(right, data)
    fig.suptitle(_where(data), x=0.01, ha="left")
    return fig


def _where(data: xr.Dataset) -> str:
    about = data.attrs
    label = f", label {about['label']}" if about["label"] >= 0 else ""
    return f"sample {about['sample']}{label}, step t = {about['t']} in batch {about['batch']}"


def _channels(ax: Axes, data: xr.Dataset, shows: str, tiles: Tiles) -> None:
    values = data[shows].transpose(*PLACES).values
    limit = Scale().limit(shows, values)
    drawn = ax.imshow(
        tiles.sheet(values),
        cmap=look.PAPER.diverging,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
        extent=(0, tiles.width, tiles.height, 0),
    )
    for k in range(1, tiles.across):
        ax.axvline(k * tiles.columns, color=look.PAPER.ghost, lw=0.4)
    for k in range(1, tiles.down):
        ax.axhline(k * tiles.rows, color=look.PAPER.ghost, lw=0.4)
    corner = tiles.corner(tuple(json.loads(data.attrs["unit"])))
    if corner is not None:
        _frame(ax, (corner[1], corner[1] + 1, corner[0], corner[0] + 1))
    places = f" of {tiles.rows} × {tiles.columns}" if data.attrs["has_places"] else ""
    size = f"{len(values)} channels{places}" if places else f"{len(values)} units"
    if tiles.channels < len(values):
        size = f"{tiles.channels} of {size}"
    name = data[shows].attrs["formula"]
    ax.set_title(f"${name}$ of layer {data.attrs['layer']}, {size}")
    _bar(ax, drawn, (-limit, 0.0, limit))


def _spread(ax: Axes, data: xr.Dataset) -> None:
    wide, high = _backdrop(ax, data)
    if "spread" not in data:
        ax.set_title(f"layer {data.attrs['layer']} has no places")
        return
    spread = data["spread"].transpose(*PLACES[1:]).values
    _over(ax, spread, wide, high)
    ax.set_title(f"${SPREAD}$")
    _, r, c = json.loads(data.attrs["unit"])
    down, across = high / spread.shape[0], wide / spread.shape[1]
    _frame(ax, (r * down, (r + 1) * down, c * across, (c + 1) * across))


def _gradient(ax: Axes, data: xr.Dataset) -> None:
    if "gradient" not in data:
        _backdrop(ax, data)
        ax.set_title("nothing is read")
        return
    heat = data["gradient"].transpose("read_row", "read_column").values
    ax.set_title(f"${data['gradient'].attrs['formula'].partition(',')[0]}$")
    if not data.attrs["read_places"]:
        line = max(8, math.isqrt(len(heat) - 1) + 1)
        tiles = Tiles.of((len(heat), 1, 1), (1, 1), line=line)
        _bare(ax)
        _over(ax, tiles.sheet(heat[..., None]), tiles.width, tiles.height, fades=False)
        return
    wide, high = _backdrop(ax, data)
    _over(ax, heat, wide, high)
    box = json.loads(data.attrs["box"])
    if box is not None:
        down, across = high / heat.shape[0], wide / heat.shape[1]
        top, bottom, left, right = box
        _frame(ax, (top * down, bottom * down, left * across, right * across))


def _backdrop(ax: Axes, data: xr.Dataset) -> tuple[float, float]:
    """The image below a map; its width and height, or those of the layer where there is none."""
    _bare(ax)
    if "image" not in data:
        return data.sizes["column"], data.sizes["row"]
    image = data["image"].transpose("colour", "image_row", "image_column").values
    high, wide = image.shape[1:]
    packed = pixels(image, data.attrs["low"], data.attrs["high"], dim=DIM)
    colours = packed.view(np.uint8).reshape(high, wide, 4)
    ax.imshow(colours, extent=(0, wide, high, 0), interpolation="nearest")
    return wide, high


def _over(ax: Axes, values: Any, wide: float, high: float, *, fades: bool = True) -> None:
    """A map with its scale; over an image it is transparent where it is small."""
    limit = Scale().limit(None, values)
    cmap = ListedColormap(fading(look.PAPER.energy)) if fades else look.PAPER.energy
    options: dict[str, Any] = {"vmin": 0, "vmax": limit, "extent": (0, wide, high, 0)}
    ax.imshow(values, cmap=cmap, interpolation="nearest", **options)
    shown = ScalarMappable(Normalize(0, limit), look.PAPER.energy)
    _bar(ax, shown, (0.0, limit / 2, limit))


def _bar(ax: Axes, drawn: Any, ticks: tuple[float, ...]) -> None:
    """A scale below a picture, with its ends and middle named."""
    fig = ax.figure
    assert isinstance(fig, Figure)
    _bare(ax)
    bar = fig.colorbar(drawn, ax=ax, location="bottom", pad=0.02, aspect=40, fraction=0.05)
    bar.ax.xaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.set_xticklabels([f"{one:g}" for one in ticks])
    bar.outline.set_visible(False)


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _frame(ax: Axes, box: tuple[float, ...]) -> None:
    """A rectangle around (first row, row behind the last, first column, column behind it)."""
    top, bottom, left, right = box
    corner, size = (left, top), (right - left, bottom - top)
    ax.add_patch(Rectangle(corner, *size, fill=False, ec=look.PAPER.accent, lw=0.9))
