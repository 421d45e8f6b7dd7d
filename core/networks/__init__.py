"""What maps to what? One file per network."""

from core.catalogue import discover

discover(__name__)
