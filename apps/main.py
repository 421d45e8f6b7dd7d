"""The app that `panel serve apps/` opens: one relaxation, live."""

import _checkout  # noqa: F401  # the import path of a bare clone comes first

from workbench.relax_page import open_page

open_page()
