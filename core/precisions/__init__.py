"""How much does each layer's energy weigh at each step? One file per schedule."""

from core.catalogue import discover

discover(__name__)
