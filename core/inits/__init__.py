"""Where does a relaxation begin? One file per initialization."""

from core.catalogue import discover

discover(__name__)
