"""Floors: what may import what, and what no file of the core does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCREEN = ("panel", "holoviews", "bokeh", "matplotlib", "param")
CORE = {
    *sys.stdlib_module_names,
    *("core", "numpy", "platformdirs", "safetensors", "torch", "torchvision", "xarray", "zarr"),
}
LATE = {"mlxtend", "sklearn", "dask", "netCDF4", "PIL"}
"""What the core may import inside the functions that need it."""


def files(folder):
    found = sorted((ROOT / folder).rglob("*.py"))
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in found]


def imported(tree):
    """The packages that a tree of nodes imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield (node.module or "").partition(".")[0]


def at_once(tree):
    """The same, without what is imported inside functions."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts = node.body if isinstance(node, ast.ClassDef) else [node]
            for part in parts:
                if not isinstance(part, ast.FunctionDef):
                    yield from imported(part)


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_floors_are_where_they_are_looked_for():
    for folder in ("core", "workbench"):
        assert files(folder)


@pytest.mark.parametrize("path", files("core"))
def test_the_core_imports_nothing_that_shows_and_nothing_above_it(path):
    tree = parsed(path)
    assert not set(imported(tree)) & {"workbench", "apps", "tests", "benchmarks", *SCREEN}
    assert set(imported(tree)) <= CORE | LATE
    assert not set(at_once(tree)) & LATE


@pytest.mark.parametrize("path", files("workbench"))
def test_the_workbench_imports_no_app(path):
    assert not set(imported(parsed(path))) & {"apps", "tests", "benchmarks"}


@pytest.mark.parametrize("path", files("core"))
def test_no_file_of_the_core_runs_text_or_opens_a_pickle(path):
    tree = parsed(path)
    assert not set(imported(tree)) & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        assert name not in ("eval", "exec", "compile", "__import__", "os.system")
        assert name not in ("torch.load", "torch.jit.load", "torch.hub.load")
        assert not any(one.arg == "shell" for one in node.keywords)
        if name.endswith("np.load") or name == "numpy.load":
            assert {one.arg: ast.unparse(one.value) for one in node.keywords}[
                "allow_pickle"
            ] == "False"


def test_the_core_works_on_a_machine_without_a_screen_and_loads_no_data_when_imported():
    code = f"""
import sys
for name in {SCREEN!r}:
    sys.modules[name] = None
import core, core.pretraining, core.recording
print(sorted({LATE | {"torchvision"}!r} & set(sys.modules)))
from core.selftest import run
core.Experiment().build((1, 8, 8), 10)
print(sum(not one.passed for one in run("cpu", ["V1", "V7"])))
print(sorted({{"workbench", "apps", *{SCREEN!r}}} & {{k for k, v in sys.modules.items() if v}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "0", "[]"]
