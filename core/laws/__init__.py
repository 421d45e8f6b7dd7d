"""What must hold for every entry of a kind? Laws as functions, for tests and for one's own entries.

A law looks at one entry and gives a sentence for each violation. It knows nothing of the method:
it holds because of what the rest of the program relies on. That a method does what its formula says
is a matter of tests with closed forms.
"""

from core.catalogue import discover
from core.laws.law import Finding, Law, examined, laws

__all__ = ["Finding", "Law", "examined", "laws"]

discover(__name__)
