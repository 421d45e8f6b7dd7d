"""What is clamped? One file per task."""

from core.catalogue import discover

discover(__name__)
