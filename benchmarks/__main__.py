"""``make bench``: run the groups that ONLY names, print the table, write ``benchmarks/latest.json``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import staging
from benchmarks.results import as_table, write

GROUPS = {"staging": staging.run}
LATEST = Path(__file__).with_name("latest.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"groups, separated by commas: {', '.join(GROUPS)}")
    parser.add_argument("--images", type=int, default=2_000, help="how many photos are staged")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many counts")
    parser.add_argument("--out", type=Path, default=LATEST)
    arguments = parser.parse_args()
    chosen = [name for name in arguments.only.split(",") if name] or list(GROUPS)
    unknown = [name for name in chosen if name not in GROUPS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there is: {', '.join(GROUPS)}.", file=sys.stderr)
        return 2
    results = [result for name in chosen for result in GROUPS[name](arguments.images, arguments.rounds)]
    print(as_table(results))
    write(results, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
