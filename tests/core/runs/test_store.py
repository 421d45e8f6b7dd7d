"""What may be written, what is refused, and how a run ended."""

import numpy as np
import pytest
import torch

from core.catalogue import BadInput
from core.recorder import Chunk
from core.runs import Damaged, NotWritten, Run, Writer
from core.runs import manifest as manifests
from core.runs.lock import Lock
from tests.faults.known import ABOUT, LAYOUT, Deed, chunk, course, judge, weights

SMALL = [Deed("lane"), Deed("rows", count=4), Deed("batch"), Deed("events", count=2)]


def written(path, deeds=SMALL, **options):
    """A finished run."""
    with Writer(path, **ABOUT, **options) as writer:
        for deed in deeds:
            deed.do(writer)
    return Run(path)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.row(40)
@pytest.mark.parametrize("name", ["", ".hidden", "a/..", "a b", "CON", "x" * 81, "é", "a\nb"])
def test_a_name_that_no_run_may_have_is_refused_and_nothing_is_made(name, memory):
    before = sorted(memory.rglob("*"))
    with pytest.raises(BadInput, match="run: "):
        Writer(memory / "runs" / name if name else memory / "runs" / "..")
    assert sorted(memory.rglob("*")) == before


def test_a_run_that_exists_is_refused_unless_it_is_gone_on_with(memory):
    written(memory / "run")
    with pytest.raises(BadInput, match="it exists: resume it, or choose another name"):
        Writer(memory / "run")
    judge(memory / "run", [*SMALL, Deed("close")])


@pytest.mark.row(42)
def test_a_folder_with_other_things_and_a_link_are_refused_and_stay(memory):
    (memory / "thesis").mkdir()
    (memory / "thesis" / "chapter.txt").write_text("all of it")
    (memory / "link").symlink_to(memory / "thesis")
    for name, said in (("thesis", "other things"), ("link", "a link")):
        for resume in (False, True):
            with pytest.raises(BadInput, match=said):
                Writer(memory / name, resume=resume)
    assert [one.name for one in (memory / "thesis").iterdir()] == ["chapter.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(memory):
    (memory / "file").write_text("")
    for path in (memory / "file", memory / "file" / "run"):
        with pytest.raises(NotWritten, match="not written"):
            Writer(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy": np.zeros((2, 4))}, r"energy: shape \(4,\); \(3,\), as in the rows before"),
        ({"energy": np.zeros((3, 3))}, r"energy: shape \(3, 3\); 2 entries"),
        ({"speed": np.zeros((2, 5))}, r"speed: shape \(5,\); \(4\) behind the rows"),
        ({"speed": np.zeros(2)}, r"speed: shape \(\); \(4\) behind the rows"),
        ({"alignment": np.zeros((2, 4))}, r"alignment: shape \(4,\); \(3\) behind the rows"),
        (
            {"energy_sample": np.zeros((2, 3, 7))},
            r"energy_sample: shape \(3, 7\); \(3, 40\), as in",
        ),
        ({"probability": np.zeros((2, 39, 3))}, r"probability: shape \(39, 3\); \(40, class\)"),
        ({"state_1": np.zeros((2, 40, 9))}, r"state_1: shape \(40, 9\); \(40, 5\)"),
        ({"enegry": np.zeros((2, 3))}, "enegry.*did you mean energy"),
        ({"step": np.array([5, 5])}, "step: not in order"),
    ],
)
def test_rows_that_do_not_fit_their_lane_are_refused_and_leave_nothing(change, said, memory):
    with Writer(memory / "run", **ABOUT) as writer:
        for deed in SMALL[:2]:
            deed.do(writer)
        rows = chunk(0, 4, 2).rows | change
        with pytest.raises(BadInput, match=said):
            writer.append(0, Chunk(rows, {}))
        judge(writer.path, SMALL[:2])
        Deed("rows", first=4, count=2).do(writer)
    judge(memory / "run", [*SMALL[:2], Deed("rows", first=4, count=2), Deed("close")])


def test_shapes_are_known_to_who_goes_on_with_a_run(memory):
    written(memory / "run")
    with Writer(memory / "run", resume=True) as writer:
        rows = chunk(0, 4, 2).rows | {"energy_sample": np.zeros((2, 3, 7))}
        with pytest.raises(BadInput, match=r"energy_sample: shape \(3, 7\); \(3, 40\)"):
            writer.append(0, Chunk(rows, {}))


def test_frames_that_do_not_fit_are_refused(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        SMALL[0].do(writer)
        one = chunk(0, 0, 4)
        for change in ({"prediction": np.zeros((2, 2, 5))}, {"prediction_mse": np.zeros((2, 4))}):
            with pytest.raises(BadInput, match=next(iter(change))):
                writer.append(0, Chunk(one.rows, one.frames | change))
        judge(writer.path, SMALL[:1])


def test_an_unknown_lane_or_parent_is_refused_with_those_that_there_are(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        with pytest.raises(BadInput, match="lane: 0; one of run run: there is none yet"):
            writer.append(0, chunk(0, 0, 2))
        SMALL[0].do(writer)
        for call in (
            lambda: writer.append(3, chunk(0, 0, 2)),
            lambda: writer.batch(3, 0, accuracy=0.5),
            lambda: writer.weights(3, 0, weights(0, 0)),
            lambda: writer.recipes(3, []),
            lambda: writer.lane(LAYOUT, parent=3, forked_at=1),
        ):
            with pytest.raises(BadInput, match="lane: 3; one of run run: 0"):
                call()
    with pytest.raises(BadInput, match="lane: 3; one of run run: 0"):
        Run(memory / "run").dataset(3)


def test_what_is_known_of_a_batch_is_a_number_or_one_for_each_layer(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        SMALL[0].do(writer)
        for change in ({"accuracy": [1.0, 2.0]}, {"update_norm": [1.0]}, {"loss": "small"}):
            with pytest.raises(BadInput, match=next(iter(change))):
                writer.batch(0, 0, **change)
        writer.batch(0, 0, loss=0.25, update_norm=[1, 2, 3])
        writer.batch(0, 0, accuracy=0.5)
    data = Run(memory / "run").batches(0)
    assert [float(data[k][0]) for k in ("loss", "accuracy")] == [0.25, 0.5]
    assert data["update_norm"].values.tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.row(33)
def test_a_newer_schema_is_refused_and_a_missing_run_too(memory, monkeypatch):
    with pytest.raises(BadInput, match="no run lies there"):
        Run(memory / "none")
    (memory / "empty").mkdir()
    with pytest.raises(BadInput, match="no run lies there"):
        Run(memory / "empty")
    monkeypatch.setattr(manifests, "SCHEMA", 2)
    with Writer(memory / "run", **ABOUT):
        pass
    monkeypatch.setattr(manifests, "SCHEMA", 1)
    for call in (lambda: Run(memory / "run"), lambda: Writer(memory / "run", resume=True)):
        with pytest.raises(BadInput, match="schema 2, this version reads 1") as refused:
            call()
        assert not isinstance(refused.value, Damaged)
    assert Lock(memory / "run").missing == ""


# The end and the going on ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "finished"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("two\nlines"), "failed: ValueError: two lines"),
    ],
)
def test_a_run_says_how_it_ended(error, state, memory):
    try:
        with Writer(memory / "run", **ABOUT) as writer:
            SMALL[0].do(writer)
            assert Run(memory / "run").state == "live"
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert Run(memory / "run").state == state
    writer.close("diverged: twice")
    assert Run(memory / "run").state == state


def test_a_closed_writer_writes_no_more(memory):
    writer = Writer(memory / "run", **ABOUT)
    writer.close()
    with pytest.raises(NotWritten, match="it is closed"):
        writer.events([{"number": 0}])


def test_going_on_continues_the_numbers_of_lanes_and_events(memory):
    deeds = course(flushes=4, size=5)
    path = memory / "run"
    Writer(path, **ABOUT).close()
    for deed in deeds[:-1]:  # each by another writer
        with Writer(path, resume=True) as writer:
            deed.do(writer)
    judge(path, deeds)


def test_a_manifest_that_is_lost_is_written_anew_from_its_copy_by_who_goes_on(memory):
    path = written(memory / "run").path
    said = (path / "manifest.json").read_text()
    for damage in (lambda one: one.unlink(), lambda one: one.write_text(said[:-9])):
        damage(path / "manifest.json")
        assert "manifest" in Run(path).recovered
        Writer(path, resume=True).close()
        assert (path / "manifest.json").read_text() == said
        judge(path, [*SMALL, Deed("close")])


def test_weights_come_back_bit_by_bit_and_others_are_offered(memory):
    with Writer(memory / "run", **ABOUT) as writer:
        SMALL[0].do(writer)
        for number in (0, 10, 20):
            writer.weights(0, number, weights(0, number))
    run = Run(memory / "run")
    assert run.kept() == [0, 10, 20]
    for name, one in run.weights(10).items():
        assert torch.equal(one, weights(0, 10)[name])
    with pytest.raises(BadInput, match="the nearest that were: 10"):
        run.weights(13)
