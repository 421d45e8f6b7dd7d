"""The mutants still fit the code: each changes one line that is there."""

import json

import pytest

from tests.mutants.__main__ import RESULT, copied, misplaced
from tests.mutants.mutation import ROOT, Mutant, listed

MUTANTS = listed()


def test_every_mutant_s_text_is_in_its_file_once():
    assert not misplaced(MUTANTS)


def test_there_are_forty_mutants_and_no_two_are_the_same():
    assert len(MUTANTS) >= 40
    assert len({(one.file, one.old, one.new) for one in MUTANTS}) == len(MUTANTS)
    assert len({(one.file, one.what) for one in MUTANTS}) == len(MUTANTS)


def test_the_tests_that_should_see_a_mutant_exist():
    for mutant in MUTANTS:
        assert mutant.file.startswith("core/")
        assert mutant.arguments
        for name in mutant.arguments:
            path, _, test = name.partition("::")
            text = (ROOT / path).read_text(encoding="utf-8")
            assert not test or f"def {test.partition('[')[0]}(" in text, name


def test_all_mutants_of_the_last_run_were_killed():
    last = json.loads(RESULT.read_text())
    assert last["killed"] == last["count"] >= 40


@pytest.mark.parametrize(
    ("old", "new"), [("absent", "b"), ("a", "b"), ("one", "one"), ("one", "two\nlines")]
)
def test_a_mutant_that_does_not_fit_is_an_error(old, new):
    with pytest.raises(ValueError, match=r"^core/x\.py: "):
        Mutant("core/x.py", "a mistake", old, new, "").of("one a\nanother a\n")


def test_a_mutant_changes_its_line_and_nothing_else():
    mutant = Mutant("core/x.py", "a mistake", "1 + 2", "1 - 2", "")
    assert mutant.of("a = 1 + 2\nb = 2\n") == "a = 1 - 2\nb = 2\n"


def test_the_copy_that_is_mutated_has_every_file_of_the_packages(tmp_path):
    tree = copied(str(tmp_path))
    for package in ("core", "workbench", "tests"):
        files = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py")}
        assert files == {path.relative_to(tree) for path in (tree / package).rglob("*.py")}
