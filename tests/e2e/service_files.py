"""Parse each of botocore's files about AWS's services once in a process: each new session would parse them again."""

from __future__ import annotations

import functools

from botocore.loaders import JSONFileLoader


def parse_once() -> None:
    """Keep what is parsed from now on. A file takes up to a second."""
    parse = functools.cache(JSONFileLoader().load_file)
    JSONFileLoader.load_file = lambda _, file_path: parse(file_path)
