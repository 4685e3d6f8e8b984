"""``make bench``: run the groups in ONLY, print the table, and write ``benchmarks/latest.json``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import local, serve, staging, sweep, train
from benchmarks.dataset import GENERATED
from benchmarks.options import Options
from benchmarks.results import Result, as_table, write
from include.laptop.demo import DemoError, dataset_address, standing_folders

GROUPS: dict[str, Callable[[Options], list[Result]]] = {
    "staging": lambda options: staging.run(options.images or 2_000, options.rounds),
    "sweep": sweep.run,
    "train": train.run,
    "serve": serve.run,
    "local": local.run,
}
LATEST = Path(__file__).with_name("latest.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"groups, separated by commas: {', '.join(GROUPS)}")
    parser.add_argument(
        "--dataset", default="", help="zip, folder or http(s) URL; generated images by default"
    )
    parser.add_argument(
        "--images",
        type=int,
        help="maximum number of images per split; staging sends this number, by default 2,000",
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of repetitions of short measurements")
    parser.add_argument("--out", type=Path, default=LATEST)
    arguments = parser.parse_args()
    chosen = [name for name in arguments.only.split(",") if name] or list(GROUPS)
    unknown = [name for name in chosen if name not in GROUPS]
    if unknown:
        print(f"Unknown benchmark {', '.join(unknown)}. Choose from {', '.join(GROUPS)}.", file=sys.stderr)
        return 2
    try:
        dataset = dataset_address(arguments.dataset, standing_folders()) if arguments.dataset else GENERATED
    except DemoError as problem:
        print(problem, file=sys.stderr)
        return 2
    options = Options(arguments.images, arguments.rounds, dataset)
    results = [result for name in chosen for result in GROUPS[name](options)]
    print(as_table(results))
    write(results, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
