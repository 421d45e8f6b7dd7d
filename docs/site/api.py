"""Which functions have a page? The doors of core and workbench, from their docstrings."""

import importlib
from pathlib import Path

MODULES = {
    "core": "Choose, relax, train, read: what `import core` gives.",
    "core.catalogue": "What can be chosen.",
    "core.network": "What a network is to a relaxation.",
    "core.free_energy": "What is descended.",
    "core.own": "Networks of anybody's modules.",
    "core.theory": "What mathematics says about it.",
    "core.runs": "What is kept on disk.",
    "workbench.measures": "Numbers of a trace.",
    "workbench.views": "Which views there are.",
    "workbench.figures": "How a figure leaves the screen.",
    "workbench.many": "Several relaxations as one Dataset.",
    "workbench.movie": "A relaxation for talks.",
    "workbench.sweeps": "What came of a sweep.",
    "workbench.session": "What a person does to a relaxation.",
}
"""Modules with pages, each in a sentence."""


def write(folder: Path) -> None:
    """Write a page for each module, and the one that lists them."""
    (folder / "api").mkdir(parents=True, exist_ok=True)
    rows = []
    for name, about in MODULES.items():
        file = _file(name)
        (folder / "api" / f"{file}.md").write_text(page(name, about), "utf-8")
        rows.append(f"- [`{name}`](api/{file}.md): {about}")
    listed = "\n".join(f"api/{_file(name)}" for name in MODULES)
    text = "# API\n\n" + "\n".join(rows) + f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    (folder / "api.md").write_text(text, "utf-8")


def page(name: str, about: str) -> str:
    """The page of a module: its public names in their order."""
    module = importlib.import_module(name)
    public = list(getattr(module, "__all__", ()))
    options = ["   :members:" + (f" {', '.join(_told(module, public))}" if public else "")]
    options += ["   :imported-members:"] if public else []
    directive = f".. automodule:: {name}\n" + "\n".join(options)
    return f"# `{name}`\n\n{about}\n\n```{{eval-rst}}\n{directive}\n```\n"


def _file(name: str) -> str:
    return name.removeprefix("core.").replace("workbench.", "workbench-").replace(".", "-")


def _told(module: object, names: list[str]) -> list[str]:
    """Names of a module that have a docstring of their own: classes and functions, no modules."""
    found = (name for name in names if callable(getattr(module, name, None)))
    return [name for name in found if getattr(getattr(module, name), "__doc__", None)]
