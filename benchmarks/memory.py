"""Stage one archive; print peak memory in KB and CPU seconds: ``python -m benchmarks.memory <zip> <url>``."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from benchmarks.clients import PROJECT, client
from include.pipeline.data.staging import stage


def main() -> None:
    archive, url = sys.argv[1:]
    s3, credentials = client(url)
    begun = time.process_time()
    stage(PROJECT, archive, "bucket", s3, lambda line: None, credentials)
    seconds = time.process_time() - begun
    # The maximum of getrusage includes the parent process.
    print(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0], seconds)


if __name__ == "__main__":
    main()
