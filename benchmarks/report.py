"""What did a run find? A JSON file of benchmarks/relaxation.py as tables and one figure.

    python -m benchmarks.report runs/bench-relaxation.json

Writes FILE.md, FILE.svg and FILE.png beside it.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stats import Ratio

FUSED = "backprop fused"


@dataclass(frozen=True)
class Requirement:
    """One ratio of two cases and what it has to be.

    Args:
        group: in which both were timed.
        above: case of the numerator; {subject} stands for the engine that is judged.
        below: case of the denominator.
        bound: the number.
        most: whether the ratio may be at most the bound, or has to be at least it.
        title: in words.
    """

    group: str
    above: str
    below: str
    bound: float
    most: bool
    title: str

    def judged(self, run: Mapping[str, Any]) -> tuple[Ratio | None, str]:
        """The ratio and whether it is met: by the median, and if by it alone that is said."""
        found = self._ratio(run)
        if found is None:
            return None, "not measured"
        good = [self._good(value) for value in (found.median, found.low, found.high)]
        if not good[0]:
            return found, "**not met**"
        return found, "met" if all(good) else "met by the median, not by all of the interval"

    def _ratio(self, run: Mapping[str, Any]) -> Ratio | None:
        above, below = (one.format(subject=run["subject"]) for one in (self.above, self.below))
        for group in run["groups"]:
            if group["name"] == self.group:
                held = group["ratios"].get(f"{above} / {below}")
                return None if held is None else Ratio(**held)
        return None

    def _good(self, value: float) -> bool:
        return value <= self.bound if self.most else value >= self.bound


OURS, BARE = "{subject} lean", "{subject} off"

REQUIREMENTS = (
    Requirement("W1", OURS, "floor", 1.00, True, "W1, recording, by the floor"),
    Requirement("W2", OURS, "floor", 0.53, True, "W2, recording, by the floor"),
    Requirement("W3", OURS, FUSED, 3.6, True, "W3, recording, by backprop"),
    Requirement("W1", "pcx lean", OURS, 1.0, False, "W1, pcx by us, both recording"),
    Requirement("W2", "pcx lean", OURS, 1.25, False, "W2, pcx by us, both recording"),
    Requirement("W3", "pcx lean", OURS, 1.7, False, "W3, pcx by us, both recording"),
    Requirement("W1", "autograd", BARE, 2.0, False, "W1, autograd of the total by us"),
    Requirement("W2", "autograd", BARE, 8.0, False, "W2, autograd of the total by us"),
    Requirement("W3", "autograd", BARE, 1.4, False, "W3, autograd of the total by us"),
    Requirement("session", "session full", "bare full", 1.05, True, "session by bare, 200 steps"),
)


def markdown(run: Mapping[str, Any]) -> str:
    """All tables."""
    parts = [heading(run, "Benchmark"), _requirements(run)]
    groups = run["groups"]
    parts += [_group(one, run) for one in groups if "sweep" not in one]
    for name in dict.fromkeys(one["sweep"] for one in groups if "sweep" in one):
        parts.append(_sweep(name, [one for one in groups if one.get("sweep") == name]))
    if run["skipped"]:
        lines = [f"- {one['group']}, {one['case']}: {one['why']}" for one in run["skipped"]]
        parts.append("\n".join(["## Not measured", "", *lines]))
    return "\n\n".join(parts) + "\n"


def heading(run: Mapping[str, Any], what: str) -> str:
    """What was measured, where and how."""
    machine = run["machine"]
    versions = {**machine["versions"], **(run.get("peer") or {})}
    said = ", ".join(f"{name} {value}" for name, value in versions.items())
    others = (
        f"A round in which other processes used more than {run['limit']:.0%} of the processors' "
        "time is dropped."
        if run["disturbance"] == "seen"
        else run["disturbance"].capitalize() + "."
    )
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    return (
        f"# {what} of {run['begun'][:10]}\n\n"
        f"{machine['processor']}, {machine['processors']} processors{memory}; {machine['system']}; "
        f"{run['threads']} threads, OMP_WAIT_POLICY={run['omp_wait_policy']}. {said}.\n\n"
        "Times are medians; ratios are medians of the ratios within each round, with the 95 % "
        f"bootstrap interval of the median. {others}"
    )


def _requirements(run: Mapping[str, Any]) -> str:
    rows = []
    for one in REQUIREMENTS:
        found, said = one.judged(run)
        sign = "≤" if one.most else "≥"
        rows.append([one.title, f"{sign} {one.bound:.2f}", str(found) if found else "–", said])
    title = f"## Requirements\n\nThe engine that is judged is `{run['subject']}`.\n\n"
    return title + table(["ratio", "required", "measured", ""], rows)


def _group(group: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    anchors = [
        (title, name)
        for title, name in (
            ("× floor", "floor"),
            ("× backprop", FUSED),
            (f"× {run['subject']} lean", f"{run['subject']} lean"),
            ("× bare full", "bare full"),
        )
        if name in group["milliseconds"]
    ]
    floor = group.get("closed", {}).get("plain")
    rows = []
    for case in group["cases"]:
        name = case["name"]
        spread = group["milliseconds"].get(name)
        if spread is None:
            continue
        cells = [name, f"{spread['median']:.1f}", f"{spread['min']:.1f}"]
        cells += [_ratio(group, name, anchor) for _, anchor in anchors]
        if floor:
            made, steps = case.get("multiply_adds"), case.get("launches_per_step")
            cells += [f"{made / 1e6:.1f}" if made else "–", f"{made / floor:.2f}" if made else "–"]
            cells.append(f"{steps:g}" if steps is not None else "–")
        rows.append(cells)
    heads = ["case", "ms", "least", *(title for title, _ in anchors)]
    heads += ["10⁶ multiply-adds", "of plain", "kernels a step"] if floor else []
    kept = sum(one["kept"] for one in group["rounds"])
    text = f"## {group['name']}: {group['title']}\n\n{kept} of {len(group['rounds'])} rounds."
    if floor:
        closed = group["closed"]
        text += (
            f" Multiply-adds by formula: {floor / 1e6:.1f} million with nothing saved, "
            f"{closed['kept'] / floor:.2f} of them with nothing computed twice, "
            f"{closed['exact'] / floor:.2f} from a forward sweep."
        )
    return f"{text}\n\n{table(heads, rows)}"


def _sweep(name: str, groups: list[Mapping[str, Any]]) -> str:
    cases = list(dict.fromkeys(case["name"] for one in groups for case in one["cases"]))
    rows = []
    for one in groups:
        cells = [one["name"], f"{one['milliseconds']['floor']['median']:.1f}"]
        for case in cases:
            if case != "floor":
                spread = one["milliseconds"].get(case)
                said = _ratio(one, case, "floor")
                cells.append(f"{spread['median']:.1f} ({said} ×)" if spread else "–")
        rows.append(cells)
    heads = [name, "floor, ms", *(case for case in cases if case != "floor")]
    about = "8 hidden layers of 128, batch 64, T = 20, but for one number. ms (× floor)."
    return f"## By {name}\n\n{about}\n\n{table(heads, rows)}"


def _ratio(group: Mapping[str, Any], above: str, below: str) -> str:
    if above == below:
        return "1"
    held = group["ratios"].get(f"{above} / {below}")
    return str(Ratio(**held)) if held else "–"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(one) + " |" for one in lines)


def save(run: Mapping[str, Any], path: Path) -> None:
    """The JSON file alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1) + "\n", "utf-8")


def write(run: Mapping[str, Any], path: Path) -> None:
    """The JSON file, the tables and the figure; their places are printed."""
    from benchmarks.figure import drawn  # here, because the tables need no matplotlib

    save(run, path)
    text = markdown(run)
    path.with_suffix(".md").write_text(text, "utf-8")
    for ending, content in drawn(run).items():
        path.with_suffix(f".{ending}").write_bytes(content)
    print(_requirements(run))
    print(f"written to {path}, and .md, .svg and .png beside it")


def main() -> int:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description=(__doc__ or "").splitlines()[0]
    )
    asked.add_argument("file", type=Path, help="what benchmarks.relaxation wrote")
    path = asked.parse_args().file
    write(json.loads(path.read_text("utf-8")), path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
