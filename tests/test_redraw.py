"""What `make redraw` counts: fonts of a PDF, and figures that are not what they were."""

import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import redraw

TABLE = """\
name                                 type              encoding         emb sub uni object ID
------------------------------------ ----------------- ---------------- --- --- --- ---------
AAAAAA+STIXGeneral-Regular           CID TrueType      Identity-H       yes yes yes     12  0
Helvetica                            Type 1            WinAnsi          no  no  no      13  0
BBBBBB+Glyphs                        Type 3            Custom           yes no  yes     14  0
"""


def test_a_table_of_fonts_says_types_and_whether_they_are_embedded():
    found = redraw.fonts_told(TABLE)
    assert found == [("CID TrueType", True), ("Type 1", False), ("Type 3", True)]
    assert redraw.fonts_told("") == []
    fine = [kind in redraw.EMBEDDED and embedded for kind, embedded in found]
    assert fine == [True, False, False]


@pytest.mark.parametrize(("fonttype", "kind"), [(42, "CID TrueType"), (3, "Type 3")])
def test_fonts_are_read_from_the_file_where_there_is_no_pdffonts(tmp_path, fonttype, kind):
    import matplotlib as mpl

    with mpl.rc_context({"pdf.fonttype": fonttype}):
        figure = Figure()
        figure.text(0.5, 0.5, "energy")
        figure.savefig(tmp_path / "figure.pdf")
    found = redraw.fonts_in((tmp_path / "figure.pdf").read_bytes())
    assert {one for one, _ in found} <= {kind, "TrueType"} and all(there for _, there in found)
    assert any(one == "Type 3" for one, _ in found) == (fonttype == 3)


def test_other_pixels_other_bytes_and_missing_files_are_told(tmp_path):
    for name, grey in (("a", 10), ("b", 10), ("c", 11)):
        folder = tmp_path / name
        folder.mkdir()
        Image.new("L", (4, 3), grey).save(folder / "figure.png")
        for ending in ("pdf", "svg"):
            (folder / f"figure.{ending}").write_text(f"{ending} {grey}")
    assert redraw.same(tmp_path / "a", tmp_path / "b") == []
    told = redraw.same(tmp_path / "a", tmp_path / "c")
    assert sorted(told) == [
        "figure.pdf: other bytes",
        "figure.png: other pixels",
        "figure.svg: other bytes",
    ]
    (tmp_path / "b" / "figure.svg").unlink()
    assert redraw.same(tmp_path / "a", tmp_path / "b") == ["figure.svg: not drawn"]
