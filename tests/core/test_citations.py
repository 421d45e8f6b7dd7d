"""The works that entries are from: each is known, and an experiment gets just its own."""

import re
from pathlib import Path

import pytest

from core import BadInput, Experiment, bibtex, cards
from core.catalogue import KINDS
from core.citations import FIELDS, OURS, is_known, read, references
from core.precisions.spiking import Spiking
from core.precisions.table import Table

ROOT = Path(__file__).parents[2]
CARDS = [
    pytest.param(card, id=f"{kind}.{name}") for kind in KINDS for name, card in cards(kind).items()
]
NAMED = {"innocenti2025", "scellier2023", "kerjan2026", "goemaere2026", "salvatori2022", "song2020"}
"""Works whose methods are compared with, whether or not an entry of theirs is here."""

ONE = "@article{a1, author = {A}, title = {T}, year = {2000}, note = {n}}"


def refusal(text):
    with pytest.raises(BadInput) as caught:
        read(text, "some.bib")
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    return line


@pytest.mark.parametrize("card", CARDS)
def test_the_source_of_every_entry_is_a_known_work(card):
    assert is_known(card.entry)
    assert card.source in references() or card.source == OURS


def test_every_key_in_a_docstring_is_a_known_work():
    found = {
        (path.name, key)
        for path in (ROOT / "core").rglob("*.py")
        for line in re.findall(r"Source: (.*(?:\n    .*\S)*)", path.read_text("utf-8"))
        for key in re.findall(r"\b[a-z]+(?:19|20)\d\d\b", line)
    }
    assert found
    assert {pair for pair in found if pair[1] not in references()} == set()


def test_every_work_is_used_or_compared_with():
    code = "".join(path.read_text("utf-8") for path in (ROOT / "core").rglob("*.py"))
    used = {key for key in references() if re.search(rf"\b{key}\b", code)}
    assert set(references()) - used <= NAMED


@pytest.mark.parametrize("key", references())
def test_every_work_says_who_what_when_and_what_of_it_was_read(key):
    one = references()[key]
    assert set(FIELDS) <= set(one.fields)
    assert one.key.endswith(one.fields["year"])
    assert one.fields["note"].startswith(("Read: ", "Cited for the "))
    assert "not read here" in one.fields["note"] or one.fields["note"].startswith("Read: ")
    venue = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}
    assert one.fields[venue[one.kind]]
    if "eprint" in one.fields:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", one.fields["eprint"])
        assert one.fields["archiveprefix"] == "arXiv"


def test_the_keys_are_the_first_authors_and_the_years():
    for key, one in references().items():
        first = one.fields["author"].split(",")[0].lower()
        assert key == f"{first}{one.fields['year']}"


def test_an_experiment_gets_just_its_own_works_each_once():
    text = Experiment(precision=Spiking()).citations()
    heads = re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)
    # forward and the rest, the schedule, the network, the digits, AdamW
    assert sorted(heads) == [
        *("lecun1998", "loshchilov2019", "pinchetti2026", "qi2026", "whittington2017")
    ]
    assert read(text, "again") == {key: references()[key] for key in heads}


def test_this_project_is_no_work():
    assert OURS not in bibtex(Experiment(precision=Table()))


def test_the_works_are_found_in_a_wheel_as_well(tmp_path):
    """As pyproject.toml lays it out: assets inside workbench/_data, beside core."""
    import shutil
    import subprocess
    import sys

    shutil.copytree(ROOT / "core", tmp_path / "core", ignore=shutil.ignore_patterns("__pycache__"))
    data = tmp_path / "workbench" / "_data" / "assets"
    data.mkdir(parents=True)
    shutil.copy(ROOT / "assets" / "references.bib", data)
    code = "import core; print(core.__file__); print(core.bibtex(core.Experiment())[:9])"
    command = [sys.executable, "-B", "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.split() == [str(tmp_path / "core" / "__init__.py"), "@article{"], ran.stderr


# The reader --------------------------------------------------------------------------------------


def test_values_lose_their_braces_and_line_breaks_and_the_text_stays():
    text = "@misc{k,\n  author = {A},\n  title = {T {of\n   two}},\n year={1}, note={n},\n}"
    found = read(f"% a comment\n\n{text}\n% the end", "some.bib")["k"]
    assert found.fields == {"author": "A", "title": "T {of two}", "year": "1", "note": "n"}
    assert (found.kind, found.text) == ("misc", text + "\n")


def test_an_empty_file_has_no_works():
    assert read("", "some.bib") == read(" % nothing", "some.bib") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words", "line 1; an entry"),
        (f"{ONE}\nwords", "line 2; an entry"),
        (f"{ONE}\n\n{ONE}", "line 3; a1 is there already"),
        ("@article{}", "line 1; @kind{key"),
        ("@article{a, title = {T", "line 1; braces that balance"),
        ("@article{a,\n title = T}", "line 2; field = {value}"),
        ("@article{a,\n title = {T} year = {1}}", "line 2; a comma"),
        ("@article{a,\n title = {T}, title = {T}}", "line 2; title is there already"),
        ("@article{a, author = {A}}", "line 1; a needs the fields author, title, year, note"),
        ("@article{a, author = {}, title = {T}, year = {1}, note = {n}}", "a needs the fields"),
        ("@article{a, author = {A},", "line 1; field = {value}"),
    ],
)
def test_anything_else_is_refused_with_its_line(text, said):
    line = refusal(text)
    assert line.startswith("references: some.bib, line ") and said in line
