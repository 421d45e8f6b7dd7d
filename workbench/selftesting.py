"""Does this machine compute what the papers say? The cases with exact answers, as a table."""

import argparse
import json
from collections.abc import Iterator

MORE = """\
Example: relaxoscope selftest --case V7 --case V13 --device cuda:0
A case of one's own is a function under core.selftest.case.case in the file of a --plugin.

"""

COLUMNS = ("case", "expected", "found", "passed", "claim")


def selftest(args: argparse.Namespace) -> int:
    """Run the cases and print them."""
    from core import selftest as cases
    from workbench.refusals import UNSOUND, check_device

    check_device(args.device)
    results = cases.run(args.device, args.case)
    sound = [bool(one.passed) for one in results]
    if args.json:
        plain = [
            dict(zip(COLUMNS, (r.name, r.expected, r.found, ok, r.what), strict=True))
            | {"device": args.device}
            for r, ok in zip(results, sound, strict=True)
        ]
        print(json.dumps(plain, indent=1))
    else:
        rows = [
            (r.name, r.expected, r.found, "yes" if ok else "NO", r.what)
            for r, ok in zip(results, sound, strict=True)
        ]
        for line in table([COLUMNS, *rows]):
            print(line)
        print(f"{sum(sound)} of {len(sound)} passed on {args.device}")
    return 0 if all(sound) else UNSOUND


def table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows as lines with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
