"""What the pages share."""

from bokeh.document import Document

from workbench import shell


def test_a_page_that_is_there_is_asked_and_one_that_bokeh_has_taken_apart_is_not():
    document, asked = Document(), []
    assert shell.later(document, lambda: asked.append(1))
    assert len(document.session_callbacks) == 1
    for name in list(vars(document.callbacks)):  # as `Document.destroy` leaves it
        delattr(document.callbacks, name)
    assert not shell.later(document, lambda: asked.append(2))
