"""The validation cases, and that the self-test tells the truth about them."""

import pytest
import torch

from core import BadInput
from core.selftest import Case, cases, judged, run

CPU = torch.device("cpu")


@pytest.mark.oracle("closed form")
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.name}: {case.what}")
def test_this_machine_computes_the_validation_case(case):
    result = judged(case, CPU)
    assert result.passed, f"expected {result.expected}, found {result.found}"


def test_every_validation_case_of_the_core_is_there():
    wanted = "V1 V2 V3 V4 V5 V6 V7 V8 V9 V10 V11 V12 V13 V14 V15 V16 V17 V18 V19 V20 V21"
    wanted += " V22 V23 V24 V25 V26 V27 V28 V29"
    assert list(dict.fromkeys(case.name for case in cases())) == wanted.split()


def test_no_case_is_told_twice():
    claims = [(case.name, case.what) for case in cases()]
    assert len(set(claims)) == len(claims)


def test_the_run_has_one_row_for_each_case():
    names = ["V1", "V7", "V9"]  # all of them are judged one by one below
    found, wanted = run("cpu", names), cases(names)
    assert [(one.name, one.what) for one in found] == [(one.name, one.what) for one in wanted]
    assert len(wanted) > len(names) and len(cases()) > 2 * len(wanted)
    assert all(one.passed for one in found)
    assert all("\n" not in f"{one.expected}{one.found}" for one in found)


def case_that_finds(value, expected=(1.0, 2.0), tolerance=1e-9):
    return Case("V0", "a claim", expected, tolerance, lambda device: value)


@pytest.mark.parametrize(
    "found",
    [
        torch.tensor([1.0, 2.1]),
        torch.tensor([1.0, torch.nan]),
        torch.tensor([torch.inf, 2.0]),
        torch.tensor([1.0]),
        torch.tensor([1.0, 2.0, 3.0]),
    ],
)
def test_a_case_with_other_numbers_fails(found):
    assert not judged(case_that_finds(found), CPU).passed


def test_a_case_within_its_tolerance_passes():
    found = torch.tensor([1.0, 2.05], dtype=torch.float64)
    assert judged(case_that_finds(found, tolerance=0.1), CPU).passed
    assert not judged(case_that_finds(found, tolerance=0.01), CPU).passed


def test_a_failed_case_shows_the_number_that_is_furthest_off():
    found = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.5, 6.0], dtype=torch.float64)
    result = judged(case_that_finds(found, (1, 2, 3, 4, 5, 6)), CPU)
    assert result.expected.startswith("5 ")
    assert result.found.startswith("5.5 ")


def test_a_case_that_raises_fails_and_says_why():
    def broken(device):
        raise RuntimeError("no such\nkernel")

    result = judged(Case("V0", "a claim", (1.0,), 0.0, broken), CPU)
    assert not result.passed
    assert result.found == "RuntimeError: no such kernel"


def test_an_absent_device_is_refused_in_one_line():
    with pytest.raises(BadInput, match=r"^device: abacus; one of .*cpu"):
        run("abacus")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="missing: a CUDA device")
def test_the_graphics_card_computes_the_validation_cases():
    assert [one for one in run("cuda:0") if not one.passed] == []
