"""Stages one archive and prints the peak memory of doing so, in KB: ``python -m benchmarks.memory <zip> <url>``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.clients import PROJECT, client
from include.pipeline.data.staging import stage


def main() -> None:
    archive, url = sys.argv[1:]
    s3, credentials = client(url)
    stage(PROJECT, archive, "bucket", s3, lambda line: None, credentials)
    # Not getrusage: its maximum counts the process that started this one, too.
    print(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


if __name__ == "__main__":
    main()
