"""A training that is steered while it runs: what acts, what is refused, and that it comes again."""

import json
import random

import numpy as np
import pytest
import torch

from core import Training, make
from core.catalogue import BadInput
from core.recording import fits_alignment
from core.runs import Run, Writer, asking, asks, changes
from core.runs.asks import Ask, Inbox, append
from core.runs.checkpoint import newest
from core.runs.course import Course
from core.runs.kept import digest
from core.runs.looks import Every
from core.runs.steering import LOOK
from core.runs.train import resume, train
from core.trace import Trace
from tests.recordings import smallest

BATCHES, T = 6, 3

EVERY = Every(weights=1, accuracy=2, updates=1, alignment=0)


def experiment(**choices):
    """Of three steps."""
    return smallest(**({"steps": T} | choices))


class Helmsman:
    """Steers as a training tells how far it is: after batch k, what acts before batch k + 1."""

    def __init__(self, path, course, dies=None):
        self.path, self.course, self.dies = path, dict(course), dies
        self.said = []

    def __call__(self, line, share):
        number = round(share * BATCHES)
        for act, choices in self.course.pop(number, ()):
            self.said.append(asking.ask(self.path, act, choices, by="test"))
        if number == self.dies:
            raise KeyboardInterrupt


def change(**choices):
    return "change", {name.replace("__", "."): value for name, value in choices.items()}


COURSES = {
    "a rate": (experiment(), {2: [change(dynamics__rate=0.05)], 4: [change(dynamics__rate=0.2)]}),
    "another rule of the states, with memory": (
        experiment(),
        {1: [change(dynamics="HeavyBall", dynamics__rate=0.05)], 4: [change(steps=5)]},
    ),
    "precisions that learn, and no longer, and again": (
        experiment(precision=make("precision", "Learned")),
        {2: [change(precision="Identity")], 4: [change(precision="Learned")]},
    ),
    "rates of the weights with a schedule": (
        experiment(weights=make("weights", "SGD", {"momentum": 0.9})),
        {
            2: [change(weights__rate=0.003, weights__schedule="cosine", weights__span=9)],
            4: [change(weights="AdamW")],
        },
    ),
    "another learning rule, twice before one batch": (
        experiment(init=make("init", "Null")),
        {3: [change(learning="Incremental"), change(output_precision=2.0, steps=4)]},
    ),
}


def bits(run):
    """All that must be the same, but for clocks."""
    held = run.batches().drop_vars("seconds")
    weights = {number: digest(run.weights(number)) for number in run.kept()}
    return run.digest(), weights, {name: held[name].values.tobytes() for name in sorted(held)}


@pytest.fixture(params=COURSES, ids=lambda name: name.replace(" ", "-"))
def steered(request, memory):
    """Choices, their changes, and a training that went through them without a stop."""
    chosen, course = COURSES[request.param]
    path = memory / "whole"
    whole = train(chosen, path, batches=BATCHES, every=EVERY, progress=Helmsman(path, course))
    assert (whole.state, whole.recovered) == ("finished", "")
    return chosen, course, whole


@pytest.mark.oracle("other implementation")
def test_changes_act_from_the_batch_on_before_which_they_were_made(steered):
    chosen, course, whole = steered
    images = chosen.dataset()
    network = chosen.build(images.shape, images.classes)
    held = Training(chosen, images, network, aligned=fits_alignment(chosen, images))
    for number in range(BATCHES):
        for _, choices in course.get(number, ()):
            held.follow(changes.changed(held.experiment, choices))
        relaxation = held.relaxation(held.batches.batch(number), train=True)
        relaxation.run()
        held.finish(relaxation)
        found = whole.weights(number + 1)
        assert all(torch.equal(found[k], v) for k, v in network.state_dict().items()), number
    rows = whole.dataset().coords
    told = [event for event in whole.events() if event["command"] == "change"]
    assert [event["batch"] for event in told] == [k for k, asks in course.items() for _ in asks]
    for event in told:
        first = int(rows["step"].values[rows["batch"].values == event["batch"]][0])
        assert event["row"] == first
    recipes = whole.recipes()
    last = changes.of_recipe(whole.manifest["experiment"], recipes[-1])
    assert last == held.experiment and len(recipes) == 1 + len(told)


@pytest.mark.oracle("other implementation")
def test_one_that_is_gone_on_with_has_the_bits_of_one_that_was_not_interrupted(
    steered, memory, monkeypatch
):
    chosen, course, whole = steered
    draw = random.Random(str(sorted(course)))
    # Killed behind all changes, with no checkpoint but the first: all are made again.
    path = memory / "first"
    with pytest.raises(KeyboardInterrupt):
        hand = Helmsman(path, course, dies=BATCHES - 1)
        train(chosen, path, batches=BATCHES, every=EVERY, progress=hand, checkpoint=0)
    assert newest(path, lambda said: "")[0].said["number"] == 0
    assert bits(resume(path)) == bits(whole)
    # Killed between changes, with a checkpoint before each batch; then stopped between two steps.
    path = memory / "each"
    hand = Helmsman(path, course, dies=draw.choice([k for k in range(2, 6) if k not in course]))
    with monkeypatch.context() as patch:
        patch.setattr(Course, "_is_time", lambda self, period: self.running is None)
        with pytest.raises(KeyboardInterrupt):
            train(chosen, path, batches=BATCHES, every=EVERY, progress=hand)
    hand.dies = None
    left = [draw.randint(1, 3)]
    resume(path, progress=hand, stop=lambda: left.append(left.pop() - 1) or not left[0])
    run = resume(path, progress=hand)
    assert (run.state, run.recovered, len(run.said["resumed"])) == ("finished", "", 2)
    assert not hand.course and bits(run) == bits(whole)


def test_what_was_changed_before_a_checkpoint_was_lost_is_changed_before_the_same_batch(memory):
    """Rows that come again are not those of a change that was asked for meanwhile."""
    path, chosen = memory / "a", experiment()
    with pytest.raises(KeyboardInterrupt):
        hand = Helmsman(path, {2: [change(steps=5)]}, dies=4)
        train(chosen, path, batches=BATCHES, every=EVERY, progress=hand, checkpoint=0)
    last = int(Run(path).dataset()["batch"].values[-1])
    assert 2 <= last < 4
    run = resume(path, progress=Helmsman(path, {1: [change(steps=2)]}))
    expected = [3, 3] + [5] * (last - 1) + [2] * (BATCHES - 1 - last)
    assert run.batches()["T"].values[:BATCHES].tolist() == expected


# Pause, go on, stop ------------------------------------------------------------------------------


def test_one_that_is_paused_waits_until_it_is_told_to_go_on_and_is_the_same(memory):
    chosen, path, seen = experiment(), memory / "a", []

    def look():
        """Asked between two steps, and again and again while it is paused."""
        run = Run(path)
        if run.state == "paused":
            seen.append((run.state, run.rows(), newest(path, lambda said: "")[0].said["number"]))
            if len(seen) == 2:
                asking.ask(path, "go")
        return False

    run = train(
        chosen,
        path,
        batches=BATCHES,
        every=EVERY,
        progress=Helmsman(path, {3: [("pause", None)]}),
        stop=look,
    )
    assert seen[0] == ("paused", 3 * (T + 1), 3) and 2 <= len(seen) <= 3
    assert [(one["command"], one["batch"]) for one in run.events()] == [("pause", 3), ("go", 3)]
    assert run.state == "finished"
    whole = train(chosen, memory / "b", batches=BATCHES, every=EVERY)
    assert bits(run) == bits(whole)
    seconds = run.dataset()["seconds"].values
    assert np.diff(seconds).max() < LOOK  # no time of a batch holds a pause


def test_one_that_is_stopped_while_it_is_paused_can_be_gone_on_with(memory):
    chosen, path = experiment(), memory / "a"

    def stop():
        paused = Run(path).state == "paused"
        if paused and not asking.standing(Run(path)).waiting:
            asking.ask(path, "change", {"steps": 5})
            asking.ask(path, "stop")
        return False

    hand = Helmsman(path, {2: [("pause", None)]})
    run = train(chosen, path, batches=BATCHES, every=EVERY, progress=hand, stop=stop)
    assert (run.state, run.rows()) == ("interrupted", 2 * (T + 1))
    told = [(one["command"], one["batch"]) for one in run.events()]
    assert told == [("pause", 2), ("change", 2), ("stop", 2)]
    run = resume(path)
    assert run.state == "finished"
    assert run.batches()["T"].values[:BATCHES].tolist() == [3, 3, 5, 5, 5, 5]


def test_a_signal_ends_one_that_is_paused(memory):
    path = memory / "a"
    hand = Helmsman(path, {2: [("pause", None)]})
    stop = lambda: Run(path).state == "paused"  # noqa: E731
    run = train(experiment(), path, batches=BATCHES, progress=hand, stop=stop)
    assert (run.state, run.rows()) == ("interrupted", 2 * (T + 1))
    assert resume(path).state == "finished"


# What is refused ---------------------------------------------------------------------------------


@pytest.fixture
def live(memory):
    """A training that stands still before batch 2 while the test asks."""

    def at(look, **choices):
        path = memory / "live"

        def progress(line, share):
            if round(share * BATCHES) == 2:
                look(path)

        return train(experiment(**choices), path, batches=BATCHES, every=EVERY, progress=progress)

    return at


REFUSED = [
    ({"network.hidden": [4]}, "change: network; fixed when it began, what may change: precision,"),
    ({"init": "Zero"}, "change: init; fixed when it began"),
    ({"dynamic.rate": 1}, "change: dynamic; one of precision, .* (did you mean dynamics?)"),
    ({"dynamics.rat": 1}, "dynamics.rat: rat; one of rate (did you mean rate?)"),
    ({"dynamics.rate": -1.0}, "dynamics.rate: -1.0; a finite number in ["),
    ({"dynamics.rate": float("nan")}, "dynamics.rate: nan; a finite number"),
    ({"dynamics.rate": "fast"}, "dynamics.rate: fast; a finite number"),
    ({"steps": 0}, "steps: 0; an integer 1..100000"),
    ({"steps.few": 2}, "change: steps.few; steps, which has no dials"),
    ({"dynamics": "HeavyBal"}, "(did you mean HeavyBall?"),
    ({"steps": T}, "change: steps; in force already"),
    ({}, "change: nothing; NAME=VALUE with one of precision"),
]


def test_a_wrong_change_is_refused_in_one_line_before_it_is_asked(live):
    said = []

    def look(path):
        for choices, _ in REFUSED:
            with pytest.raises(BadInput) as refused:
                asking.ask(path, "change", choices)
            said.append(str(refused.value))
        for act, line in [("go", "it is not paused"), ("rest", "ask: rest; one of pause, go")]:
            with pytest.raises(BadInput, match=line):
                asking.ask(path, act)
        asking.ask(path, "pause")
        with pytest.raises(BadInput, match="pause: live; it is paused, or will be between"):
            asking.ask(path, "pause")
        asking.ask(path, "go")

    run = live(look)
    for line, (_, wanted) in zip(said, REFUSED, strict=True):
        assert "\n" not in line and all(one in line for one in wanted.split(" .* ")), line
    assert [one["command"] for one in run.events()] == ["pause", "go"]


def test_the_training_refuses_what_nobody_checked_and_goes_on(live, memory):
    lines = [
        b"rubbish\n",
        b"\xff\xfe\n[1, 2]\n{}\nnull\n",
        b"[" * 40_000 + b"\n",
        json.dumps({"act": "change", "choices": {"steps": 2}, "id": "../etc"}).encode() + b"\n",
        json.dumps({"act": "rest", "id": "0" * 32}).encode() + b"\n",
        b"x" * 3 * asks.LONGEST,  # without an end
    ]

    def look(path):
        for choices, _ in REFUSED:
            append(path, Ask("change", choices, "somebody"))
        append(path, Ask("change", {"precision": {"name": "Table", "values": [[1.0]]}}))
        append(path, Ask("go"))
        with (path / asks.FILE).open("ab") as file:
            file.write(b"".join(lines))
        append(path, Ask("change", {"weights.rate": 0.002}))  # after the torn line

    run = live(look)
    assert run.state == "finished"
    told = [(one["command"], one["args"].get("why", "")) for one in run.events()]
    whys = [why for command, why in told if command == "refused"]
    assert [command for command, _ in told].count("change") == 1
    assert all(why and "\n" not in why for why in whys)
    for _, wanted in REFUSED:
        assert any(all(one in why for one in wanted.split(" .* ")) for why in whys), wanted
    assert any("it is not paused" in why for why in whys)
    assert len(whys) == len(REFUSED) + 2 + 1  # damaged lines of one look are told together
    at_once = train(
        experiment(),
        memory / "b",
        batches=BATCHES,
        every=EVERY,
        progress=Helmsman(memory / "b", {2: [change(weights__rate=0.002)]}),
    )
    assert bits(run) == bits(at_once)


@pytest.mark.parametrize("what", ["folder", "unreadable"])
def test_asks_that_cannot_be_read_are_told_once_and_end_nothing(live, what, monkeypatch):
    def look(path):
        if what == "folder":
            (path / asks.FILE).mkdir()
        else:
            append(path, Ask("pause"))
            denied = PermissionError(13, "Permission denied")
            monkeypatch.setattr(asks.os, "pread", lambda *_: (_ for _ in ()).throw(denied))

    run = live(look)
    told = [one["args"]["why"] for one in run.events()]
    assert run.state == "finished" and len(told) == 1 and told[0].startswith("asks.jsonl cannot be")


def test_what_was_asked_of_a_process_that_is_gone_is_refused(memory):
    path = memory / "a"
    with pytest.raises(KeyboardInterrupt):
        train(
            experiment(),
            path,
            batches=BATCHES,
            progress=Helmsman(path, {3: [change(steps=5), ("pause", None)]}, dies=3),
        )
    run = resume(path)
    assert run.state == "finished"
    assert set(run.batches()["T"].values[:BATCHES]) == {T}
    told = [(one["command"], one["args"]["ask"]) for one in run.events()]
    assert told == [("refused", "change"), ("refused", "pause")]


def test_only_a_training_that_goes_on_can_be_asked(memory):
    path = memory / "a"
    train(experiment(), path, batches=1)
    with pytest.raises(BadInput, match="run: a; finished: nobody trains it now"):
        asking.ask(path, "pause")
    log = Trace.open(memory / "own", layers=[2])
    with pytest.raises(BadInput, match="run: own; nobody listens: a training does"):
        asking.ask(memory / "own", "pause")
    log.close()
    with Writer(memory / "later", experiment=experiment().to_dict()):
        with pytest.raises(BadInput, match="nobody listens"):
            asking.ask(memory / "later", "stop")
    assert not (memory / "later" / asks.FILE).exists()


def test_an_ask_is_read_once_wherever_the_pieces_of_its_line_are_cut(memory):
    one, two = Ask("pause", by="a"), Ask("change", {"steps": 3}, by="b")
    append(memory, one)
    append(memory, two)
    data = (memory / asks.FILE).read_bytes()
    for cut in range(0, len(data), 7):
        (memory / asks.FILE).write_bytes(data[:cut])
        inbox = Inbox(memory)
        found, trouble = inbox.new()
        assert trouble == ""
        with (memory / asks.FILE).open("ab") as file:
            file.write(data[cut:])
        more, trouble = inbox.new()
        assert (found + more, trouble) == ([one, two], "")
        assert inbox.new() == ([], "")
    assert Inbox(memory, {one.id}).new() == ([two], "")


def test_choices_are_read_from_text_as_they_are_typed():
    typed = {"0.05": 0.05, " 12": 12, "true": True, "HeavyBall": "HeavyBall", "[1, 2]": [1, 2]}
    assert {text: changes.value_of(text) for text in typed} == typed
    assert changes.value_of(".5") == 0.5 and np.isnan(changes.value_of("nan"))
    shown = changes.offered(experiment())
    assert shown["steps"] == str(T) and shown["dynamics"] == "GradientDescent"
    for name, text in shown.items():
        if not isinstance(changes.value_of(text), str) or "." in name:
            with pytest.raises(BadInput, match="in force already"):
                changes.changed(experiment(), {name: changes.value_of(text)})
