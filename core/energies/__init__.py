"""What does an error cost? One file per layer energy."""

from core.catalogue import discover

discover(__name__)
