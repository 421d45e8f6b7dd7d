"""Where does the profile show what rounding can make? Under a line, once the rows stand still."""

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from workbench.look import Palette, dtype_of, short

if TYPE_CHECKING:
    from workbench.curves import Curves


class Floors:
    """What is drawn of energies below their rounding floor, over depth."""

    def __init__(self, depth: Any, look: Palette) -> None:
        """Put empty glyphs on the plot.

        Args:
            depth: energy by depth.
            look: colours of the theme.
        """
        self.line = ColumnDataSource({"layer": [], "energy": []})
        self.marks = ColumnDataSource({"layer": [], "energy": [], "name": [], "said": []})
        depth.line("layer", "energy", source=self.line, color=look.ghost, line_dash="1 3")
        felt = depth.scatter("layer", "energy", source=self.marks, size=10, alpha=0)
        depth.add_tools(HoverTool(renderers=[felt], tooltips="layer @name: @said"))

    def clear(self) -> None:
        """Draw nothing: another row is shown."""
        for source in (self.line, self.marks):
            if len(source.data["layer"]):
                source.data = {name: [] for name in source.column_names}

    def draw_marks(self, c: "Curves", at: int, foot: float) -> None:
        """The floor at a row, and what the pointer feels of layers below it; neither if none is."""
        noise = c.noise[at]
        below = np.flatnonzero(noise)
        if not len(below):
            return self.clear()
        layers = np.arange(1, len(noise) + 1)
        # Lists go within the message; each array would be two more.
        self.line.data = {"layer": layers.tolist(), "energy": np.log10(c.floor[at]).tolist()}
        where = f"nat, below the rounding floor of {dtype_of(c.eps)}"
        self.marks.data = {
            "layer": layers[noise].tolist(),
            "energy": [foot] * len(below),
            "name": [c.names[k] for k in below],
            "said": [f"{short(energy)} {where}" for energy in c.raw[at][noise]],
        }
