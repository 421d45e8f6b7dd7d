"""How does it look? The colours, labels and paper style that every drawing shares."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.colors import to_hex

from workbench.places import assets

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
"""Letters on the screen."""

CLEAR = "rgba(0, 0, 0, 0)"
"""Of what is not drawn."""

COLUMN = 3.25
"""Width of one column of a paper, in inches: that of ICML, the narrowest of `plate.PAPERS`."""


@dataclass(frozen=True)
class Palette:
    """The colours of one theme.

    Args:
        name: of the theme.
        page: behind everything.
        background: of a plot.
        ink: text and axes.
        muted: text of second rank.
        grid: lines that only help reading.
        accent: the one thing to look at.
        ghost: what was before, drawn behind what is.
        unreached: a layer that the error has not reached.
        scale: matplotlib's colour map of layers by depth, and the stretch of it that is
            distinct from this theme's background.
        energy: colour map of energies, one with another hue order than the layers'.
        precision: colour map of precisions.
        diverging: colour map of differences about zero.
        image: colour map of images.
    """

    name: str
    page: str
    background: str
    ink: str
    muted: str
    grid: str
    accent: str
    ghost: str
    unreached: str
    scale: tuple[str, float, float]
    energy: str = "viridis"
    precision: str = "cividis"
    diverging: str = "RdBu_r"
    image: str = "gray"


LIGHT = Palette(
    name="light",
    page="#f7f7f8",
    background="#ffffff",
    ink="#1b1e23",
    muted="#646b76",
    grid="#dcdfe4",
    accent="#c2410c",
    ghost="#aab0ba",
    unreached="#e9ebee",
    scale=("plasma", 0.0, 0.64),
)

DARK = Palette(
    name="dark",
    page="#101216",
    background="#16181d",
    ink="#e8eaee",
    muted="#9aa2ae",
    grid="#2c3038",
    accent="#fb923c",
    ghost="#5d6470",
    unreached="#3a3f48",
    scale=("plasma", 0.44, 1.0),
    diverging="berlin",
)

THEMES = {"light": LIGHT, "dark": DARK}

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours of things that have no order, told apart by all eyes, on a light and a dark page."""

PAPER = LIGHT
"""Papers are white."""


@dataclass(frozen=True)
class Label:
    """What a quantity is called.

    Args:
        text: in plain letters.
        math: the same with mathematics as matplotlib sets it.
        unit: of its values, empty for a pure number.
    """

    text: str
    math: str
    unit: str = ""

    @property
    def plain(self) -> str:
        """With the unit, for the screen."""
        return f"{self.text} ({self.unit})" if self.unit else self.text

    @property
    def paper(self) -> str:
        """With the unit, for matplotlib."""
        return f"{self.math} ({self.unit})" if self.unit else self.math


LABELS = {
    "step": Label("step t", "step $t$"),
    "row": Label("row (T + 1 a batch)", "row ($T+1$ a batch)"),
    "phase_row": Label("row (T + 1 a phase)", "row ($T+1$ a phase)"),
    "batch": Label("batch (its last row)", "batch (its last row)"),
    "layer": Label("layer ℓ", r"layer $\ell$"),
    "energy": Label("energy E_ℓ", r"energy $E_\ell$", "nat"),
    "F": Label("total energy F", "total energy $F$", "nat"),
    "E": Label("bare energy E", "bare energy $E$", "nat"),
    "residual": Label("residual r", "residual $r$"),
    "imbalance": Label("imbalance", "imbalance", "decades"),
    "reached_count": Label("layers reached", "layers reached"),
    "slope": Label("slope", "slope", "decades/layer"),
    "r2": Label("R²", "$R^2$"),
    "error": Label("RMS error of layer", r"RMS error $e_\ell$"),
    "alignment": Label("cosine to backprop", "cosine to backprop"),
    "update_ratio": Label("norm by backprop's", r"norm by backprop's"),
    "agreement": Label("signs as backprop's", "signs as backprop's"),
    "prediction_drift": Label("drift of μ_ℓ", r"drift of $\mu_\ell$"),
    "precision": Label("precision Π_ℓ", r"precision $\Pi_\ell$"),
    "probability": Label("probability", "probability"),
    "confidence": Label("largest probability", "largest probability"),
    "prediction_mse": Label("MSE of μ_L", r"MSE of $\mu_L$", "pixel²"),
    "swept_mse": Label("MSE of sweep", "MSE of sweep", "pixel²"),
    "image_mse": Label("MSE of h", "MSE of $h$", "pixel²"),
    "mse": Label("MSE of image", "MSE"),
    "unreached": Label("not reached", "not reached"),
}


def dtype_of(eps: float) -> str:
    """The dtype of this eps, "float32" for 2^-23; "dtype" for one that has no name here."""
    known = {float(np.finfo(name).eps): name for name in ("float16", "float32", "float64")}
    return known.get(eps, "dtype")


def palette(theme: str) -> Palette:
    """The colours of "light" or "dark".

    Raises:
        ValueError: for another theme.
    """
    if theme not in THEMES:
        raise ValueError(f"theme: {theme}; one of {', '.join(THEMES)}")
    return THEMES[theme]


def told(look: Palette) -> dict[str, object]:
    """The colours and letters with which the browser draws."""
    plain = {name: getattr(look, name) for name in ("ink", "muted", "accent", "ghost", "unreached")}
    scales = {"energy": shades(look.energy), "precision": shades(look.precision)}
    return {**plain, "background": look.background, "font": FONT, **scales}


def layer_colours(n: int, theme: str = "light") -> list[str]:
    """One colour for each of n layers in depth order, from dark to bright, as hex."""
    name, low, high = palette(theme).scale
    at = np.linspace(low, high, n) if n > 1 else np.array([(low + high) / 2])
    return [to_hex(colour) for colour in mpl.colormaps[name](at)]


def shades(name: str, n: int = 256) -> list[str]:
    """A matplotlib colour map as hex colours."""
    return [to_hex(colour) for colour in mpl.colormaps[name](np.linspace(0, 1, n))]


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if np.isfinite(value) else "not finite"


_style_lock = threading.RLock()


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw and save as a paper wants it; one thread at a time, because the style is global."""
    with _style_lock, mpl.rc_context():
        mpl.rcdefaults()
        style.use(assets() / "look" / "paper.mplstyle")
        yield
