"""What can be done with runs from a shell? List, show, export, annotate, put away, steer."""

import argparse
import json
import math
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.refusals import DAMAGED, UNSOUND, Refused

if TYPE_CHECKING:
    from core.runs.run import Run

MORE = """\
A run is a folder of --root; its NAME is that of the folder, or a path to it.

Examples:
  relaxoscope runs list
  relaxoscope runs show spiking --json
  relaxoscope runs export spiking --out spiking.zarr
  relaxoscope runs tag spiking figure-3 deep
  relaxoscope runs change spiking dynamics.rate=0.05     while it is trained
  relaxoscope runs trash spiking        moves it to .trash in the folder of runs; 14 days later a
  relaxoscope runs restore spiking      trash deletes it for good, until then restore brings it back

"""

SHOW_MORE = """\
What is missing or damaged is said in one sentence; then the exit code is 4, and what is held is
shown all the same.

"""

COLUMNS = ("name", "state", "batches", "rows", "accuracy", "data", "begun", "about")


def runs(args: argparse.Namespace) -> int:
    """Do what is asked with runs."""
    from workbench import steering

    acts = {
        "list": list_,
        "show": show,
        "export": _export,
        "trash": trash,
        "restore": restore,
        "rename": rename,
        "note": note,
        "tag": tag,
        "replay": replay,
        **dict.fromkeys(steering.ACTS, steering.steer),
    }
    if args.action is None:
        raise Refused(f"runs: missing; one of {', '.join(acts)}")
    return acts[args.action](args)


def place(name: str, root: str | None) -> Path:
    """The folder of a run that is given by its name or by a path.

    Raises:
        BadInput: if no run lies there; the nearest name is offered.
    """
    from core.runs import shelf

    path = Path(name).expanduser()
    if root is None and len(path.parts) > 1:
        return shelf.run_named(path.name, path.parent)
    return shelf.run_named(name, None if root is None else Path(root))


def list_(args: argparse.Namespace) -> int:
    """List the runs, newest first."""
    from core.runs import shelf
    from workbench.selftesting import table

    root = shelf.folder() if args.root is None else Path(args.root)
    found = [_listed(path) for path in shelf.found(root)]
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    if not found:
        print(f"no runs in {root}; `relaxoscope train --out {root}/NAME` makes one")
        return 0
    rows: list[tuple[str, ...]] = [COLUMNS]
    for one in found:
        shown = (one["name"], one["state"], *(_number(one[k]) for k in ("batches", "rows")))
        words = [one["title"], *(f"#{tag}" for tag in one["tags"])]
        best = "" if one["accuracy"] is None else f"{one['accuracy']:.1%}"
        best += "" if one["top5"] is None else f", top-5 {one['top5']:.1%}"
        line = " ".join(word for word in words if word)
        rows.append((*shown, best, one["data"], one["created"], line))
    for line in table(rows):
        print(line)
    return 0


def show(args: argparse.Namespace) -> int:
    """Show what is known of a run; damaged ones too, with what is held."""
    from core.runs import Run

    with closing(Run(place(args.name, args.root))) as run:
        known = _known(run)
    if args.json:
        print(json.dumps(known, indent=1))
    else:
        for line in _lines(known):
            print(line)
    if known["recovered"]:
        sys.stdout.flush()
        raise Refused(f"run: {known['name']}; {known['recovered']}", DAMAGED)
    return 0


def _export(args: argparse.Namespace) -> int:
    """The same as the command `export`."""
    from workbench import exporting

    return exporting.export(args)


def trash(args: argparse.Namespace) -> int:
    """Put runs away, and delete for good what was put away long ago."""
    from core.runs import shelf

    places = [place(name, args.root) for name in args.name]
    for path in places:
        shelf.trash(path)
        print(f"{path.name} was put away; `relaxoscope runs restore {path.name}` brings it back")
    for root in dict.fromkeys(path.parent for path in places):
        gone = shelf.empty(root=root)
        if gone:
            print(f"deleted for good after {shelf.DAYS} days: {', '.join(gone)}")
    return 0


def restore(args: argparse.Namespace) -> int:
    """Bring a run back from the trash: the one that was put away last."""
    from core.catalogue import unknown
    from core.runs import shelf

    path = Path(args.name).expanduser()
    root = path.parent if args.root is None and len(path.parts) > 1 else args.root
    away = shelf.trashed(None if root is None else Path(root))
    found = [one for one in away if one.name == path.name]
    if not found:
        names = list(dict.fromkeys(one.name for one in away))
        said = unknown(path.name, names) if names else f"{path.name}; the trash is empty"
        raise Refused(f"run: {said}")
    print(shelf.restore(found[0]))
    return 0


def rename(args: argparse.Namespace) -> int:
    """Give a run another name."""
    from core.runs import shelf

    print(shelf.rename(place(args.name, args.root), args.new))
    return 0


def note(args: argparse.Namespace) -> int:
    """Write a title or a note; without either, print them."""
    from core.runs import shelf

    path = place(args.name, args.root)
    held = shelf.annotate(path, title=args.title, note=args.text)
    print("\n".join(line for line in (held.title, held.note) if line))
    return 0


def tag(args: argparse.Namespace) -> int:
    """Add tags, or take them away; print those that the run has then."""
    from core.catalogue import unknown
    from core.runs import shelf
    from core.runs.manifest import read_notes

    path = place(args.name, args.root)
    old = read_notes(path).tags
    missing = [one for one in args.tag if one not in old] if args.remove else []
    if missing:
        raise Refused(f"tag: {unknown(missing[0], old) if old else f'{missing[0]}; it has none'}")
    kept = [one for one in old if one not in args.tag] if args.remove else [*old, *args.tag]
    print(" ".join(shelf.annotate(path, tags=kept).tags))
    return 0


def replay(args: argparse.Namespace) -> int:
    """Do a recorded session again from its event log, and compare the digests of its lanes."""
    from core.runs import Run
    from workbench.replaying import replayed

    with closing(Run(place(args.name, args.root))) as run:
        found = replayed(run)
    known = [
        {"lane": lane, "recorded": recorded, "again": again, "same": recorded == again}
        for lane, recorded, again in found
    ]
    if args.json:
        print(json.dumps(known, indent=1))
    else:
        for one in known:
            first, again = (str(one[k])[:16] or "no such lane" for k in ("recorded", "again"))
            said = "again the same" if one["same"] else f"now ANOTHER: {again}"
            print(f"lane {one['lane']}: {first}, {said}")
    return 0 if all(one["same"] for one in known) else UNSOUND


# What is known -----------------------------------------------------------------------------------


def _listed(path: Path) -> dict[str, Any]:
    """One line of the list; a run that cannot be read says why in the place of its state."""
    from core.catalogue import BadInput
    from core.runs import Run
    from core.runs.manifest import read_notes

    notes = read_notes(path)
    empty = dict.fromkeys(("batches", "rows", "accuracy", "top5")) | {"data": "", "created": ""}
    line = {"name": path.name, "title": notes.title, "tags": list(notes.tags), "recovered": ""}
    try:
        with closing(Run(path)) as run:
            known = _known(run)
    except (BadInput, OSError) as failed:
        return line | empty | {"state": "damaged", "recovered": str(failed)}
    batches = [one["batches"] for one in known["lanes"]]
    best = {
        name: max((one[name] for one in known["lanes"] if one[name] is not None), default=None)
        for name in ("accuracy", "top5")
    }
    return line | {
        "state": "damaged" if known["recovered"] else known["state"].partition(":")[0],
        "recovered": known["recovered"],
        "batches": max(batches, default=0),
        "rows": sum(one["rows"] for one in known["lanes"]),
        **best,
        "data": known["data"],
        "created": known["created"],
    }


def _known(run: "Run") -> dict[str, Any]:
    """What is known of a run, as plain data."""
    manifest, notes = run.manifest, run.notes
    about = manifest["about"]
    lanes = [_lane(run, number) for number in sorted(run.lanes)]
    return {
        "name": run.name,
        "path": str(run.path),
        "title": notes.title,
        "note": notes.note,
        "tags": list(notes.tags),
        "state": run.state,
        "recovered": run.recovered,
        "created": manifest["created"],
        "data": str(about.get("data", "")),
        "experiment": manifest["experiment"],
        "choices": _choices(manifest["experiment"]),
        "lanes": lanes,
        "events": len(run.events()),
        "bytes": run.bytes,
        "versions": manifest["versions"],
        "environment": manifest["environment"],
    }


def _lane(run: "Run", number: int) -> dict[str, Any]:
    """What is known of a lane."""
    info, batches = run.lanes[number], run.batches(number)
    shares: dict[str, float | None] = {}
    for name in ("accuracy", "top5"):
        tested = batches[name].values.tolist() if name in batches else []
        tested = [one for one in tested if not math.isnan(one)]
        shares[name] = max(tested, default=None)
        shares[f"{name}_at_the_end"] = tested[-1] if tested else None
    rows = batches["rows"].values
    return {
        "lane": number,
        "title": info.title,
        "parent": info.parent,
        "forked_at": info.forked_at,
        "layers": len(info.layout.layers),
        "batches": int((rows > 0).sum()),
        "rows": int(run.rows(number)),
        **shares,
        "weights": run.kept(number),
    }


def _choices(experiment: dict[str, Any] | None) -> str:
    """How an experiment differs from the default one, in words."""
    from core.experiment import Experiment, sentence

    if experiment is None:
        return "a program of one's own"
    return sentence(Experiment().to_dict(), experiment) or "the default experiment"


def _lines(known: dict[str, Any]) -> list[str]:
    """The same for a person."""
    title = f": {known['title']}" if known["title"] else ""
    said = [
        f"{known['name']}{title}",
        f"  state      {known['state']}",
        f"  begun      {known['created']}",
        f"  data       {known['data'] or 'not said'}",
        f"  choices    {known['choices']}",
    ]
    if known["tags"]:
        said.append(f"  tags       {' '.join(known['tags'])}")
    for one in known["lanes"]:
        best = "" if one["accuracy"] is None else f", best accuracy {one['accuracy']:.1%}"
        best += "" if one["top5"] is None else f", top-5 {one['top5']:.1%}"
        came = (
            "" if one["forked_at"] is None else f", from row {one['forked_at']} of {one['parent']}"
        )
        what = f"{_number(one['rows'])} rows, {_number(one['batches'])} batches"
        said.append(f"  lane {one['lane']:<5} {what}, {one['layers']} layers{best}{came}")
        if one["weights"]:
            said.append(f"             weights of batches {_few(one['weights'])}")
    if known["events"]:
        said.append(f"  events     {known['events']}")
    said.append(f"  size       {known['bytes'] / 2**20:.1f} MiB in {known['path']}")
    if known["recovered"]:
        said.append(f"  recovered  {known['recovered']}")
    if known["note"]:
        said += ["", *known["note"].splitlines()]
    return said


def _few(numbers: list[int]) -> str:
    """Numbers, the middle ones left out where they are many."""
    if len(numbers) <= 8:
        return ", ".join(map(str, numbers))
    first, last = ", ".join(map(str, numbers[:4])), ", ".join(map(str, numbers[-2:]))
    return f"{first}, ... {last} ({len(numbers)} in all)"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
