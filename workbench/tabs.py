"""Which tabs has the drawer of the Relax page? Their names, in order; an address may name one."""

TABS = (
    "choices",
    "theory",
    "network",
    "lanes",
    "precision",
    "maps",
    "samples",
    "poke",
    "what-if",
    "grid",
    "export",
    "log",
    "self-test",
)
