"""What holds for every test of the workbench: a cache of their own, and no session left behind."""

import threading

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder for all tests of the workbench, so that the user's is not touched."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("RELAXOSCOPE_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def no_worker_left():
    """Every worker that a test begins must have ended with it."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not [one for one in left if one.name == "relaxation"]
