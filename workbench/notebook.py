"""How does a session show itself in a notebook? With its controls, when a cell ends with it."""

import builtins
from typing import Any


class Inline:
    """What Jupyter asks of an object that a cell ends with."""

    def controls(self) -> Any:
        """The session's buttons, choices and plots as a Panel object; begins it if need be.

        Each call gives new ones, because a plot is in one place: cells that show the same session
        all go on showing it.
        """
        from workbench.controls import Controls  # here, because a shell needs no Panel

        return Controls(self).view

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """The controls as Panel shows them; nothing of it is fetched from elsewhere."""
        import panel as pn

        if hasattr(builtins, "__IPYTHON__"):
            from workbench.views import screen

            screen.bokeh()  # views beside the session need what it brings for both
        elif not pn.extension._loaded:
            pn.extension(inline=True)
        return self.controls()._repr_mimebundle_(include, exclude)
