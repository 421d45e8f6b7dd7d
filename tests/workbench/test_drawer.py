"""The drawer follows what moves, a few times a second, and never leaves out the last of it."""

from types import SimpleNamespace

from workbench import drawer
from workbench.drawer import Drawer


def test_the_last_row_is_shown_although_it_came_too_soon_after_the_one_before(monkeypatch):
    session = SimpleNamespace(row=0)
    page = SimpleNamespace(
        session=session, theorist=None, address=SimpleNamespace(watches=False), redraw=lambda: None
    )
    made, shown = Drawer(page, ""), []
    tab = SimpleNamespace(show=lambda session: shown.append(session.row))
    monkeypatch.setattr(made, "_part", lambda name: tab)
    made.toggle("export")
    for session.row in (1, 2, 3):
        made.follow(session)
    assert shown == [1], "not more often"
    made.beat(draws=True)
    assert shown == [1], "nor by the beat"
    monkeypatch.setattr(drawer, "FOLLOWS_EVERY", 0.0)
    made.beat(draws=True)
    assert shown == [1, 3]
    made.beat(draws=True)
    assert shown == [1, 3], "once"
