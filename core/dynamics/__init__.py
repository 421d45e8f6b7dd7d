"""How do states move down the free energy? One file per rule."""

from core.catalogue import discover

discover(__name__)
