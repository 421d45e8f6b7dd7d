"""Which questions can be asked of a trace? One file per view.

A view is a module with `TITLE`, `NEEDS` (variables that must be in the trace), `measure(trace,
step)` (its numbers), `view(trace)` (a holoviews element for a notebook) and `figure(trace, step)`
(a matplotlib Figure for a paper). A new file in this folder is a new view.
"""

import difflib
import functools
import importlib
import pkgutil
from types import ModuleType

ORDER = (
    "energy_time",
    "energy_depth",
    "total",
    "imbalance",
    "errors",
    "alignment",
    "update",
    "drift",
    "precision",
    "probability",
    "reconstruction",
)
"""In which order views are offered; those not named here follow by name."""


@functools.cache
def _found() -> dict[str, ModuleType]:
    names = sorted(one.name for one in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    known = [name for name in names if hasattr(modules[name], "TITLE")]
    known.sort(key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return {name: modules[name] for name in known}


def views() -> dict[str, ModuleType]:
    """All views by name."""
    return dict(_found())


def view_named(name: str) -> ModuleType:
    """The view of that name.

    Raises:
        ValueError: for an unknown name; the nearest is offered.
    """
    known = _found()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"view: {name}; one of {', '.join(known)}{hint}")
    return known[name]
