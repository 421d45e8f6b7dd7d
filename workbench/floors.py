"""Where do the live plots show what is only rounding? Grey cells, and faded marks under a line."""

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper

from workbench.look import Palette, dtype_of, short

if TYPE_CHECKING:
    from workbench.curves import Curves

CLEAR = "rgba(0, 0, 0, 0)"


class Floors:
    """What is drawn of energies below their rounding floor, on the plots of energy."""

    def __init__(self, heat: Any, depth: Any, look: Palette) -> None:
        """Put empty glyphs on both plots.

        Args:
            heat: the map of step by layer; cells are laid over its image.
            depth: energy by depth.
            look: colours of the theme.
        """
        self.cells = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        grey = LinearColorMapper(palette=[look.ghost], low=0, high=1, nan_color=CLEAR)
        heat.image("image", "x", "y", "dw", "dh", source=self.cells, color_mapper=grey)
        energies, *marks, cells = heat.renderers
        heat.renderers = [energies, cells, *marks]  # above the map, below all that marks it
        self.line = ColumnDataSource({"layer": [], "energy": []})
        self.marks = ColumnDataSource({"layer": [], "energy": [], "name": [], "said": []})
        depth.line("layer", "energy", source=self.line, color=look.ghost, line_dash="1 3")
        drawn = depth.scatter(
            "layer",
            "energy",
            source=self.marks,
            marker="inverted_triangle",
            size=8,
            color=look.ghost,
        )
        depth.add_tools(HoverTool(renderers=[drawn], tooltips="layer @name: @said"))

    def draw_cells(self, image: Any, place: dict[str, Any]) -> None:
        """Lay the cells over the map; `image` is 1 where there is noise and nan elsewhere."""
        self.cells.data = {"image": [image], **place}

    def draw_marks(self, c: "Curves", at: int, foot: float) -> None:
        """The floor at a row and a mark at the foot for each layer below it; neither if none is."""
        noise = c.noise[at]
        layers = np.arange(1, len(noise) + 1)
        below = layers[noise]
        line: dict[str, Any] = {"layer": [], "energy": []}
        if len(below):
            line = {"layer": layers, "energy": np.log10(c.floor[at])}
        self.line.data = line
        where = f"nat, below the rounding floor of {dtype_of(c.eps)}"
        self.marks.data = {
            "layer": below,
            "energy": [foot] * len(below),
            "name": [c.names[k - 1] for k in below],
            "said": [f"{short(energy)} {where}" for energy in c.raw[at][noise]],
        }
