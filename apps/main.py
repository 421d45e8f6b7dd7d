"""The app that `panel serve apps/` opens: relaxations live, runs, comparisons."""

import _checkout  # noqa: F401  # the import path of a bare clone comes first

from workbench.pages import open_page

open_page()
