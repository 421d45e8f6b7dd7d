"""How does a session show itself in a notebook? With its controls, when a cell ends with it."""

from typing import Any


class Inline:
    """What Jupyter asks of an object that a cell ends with."""

    _controls: Any = None

    def controls(self) -> Any:
        """The session's buttons, choices and plots as a Panel object; begins it if need be."""
        if self._controls is None:
            from workbench.controls import Controls  # here, because a shell needs no Panel

            self._controls = Controls(self)
        return self._controls.view

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """The controls as Panel shows them; nothing of it is fetched from elsewhere."""
        import panel as pn

        if not pn.extension._loaded:
            pn.extension(inline=True)
        return self.controls()._repr_mimebundle_(include, exclude)
