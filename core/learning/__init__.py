"""How do weights change? One file per rule."""

from core.catalogue import discover

discover(__name__)
