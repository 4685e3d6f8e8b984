"""Wait for servers of models that tests start."""

import time

import urllib3


def wait_until_it_serves(url: str) -> None:
    """Wait until a server answers its health check."""
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib3.request("GET", f"{url}/ping", retries=False)
            return
        except urllib3.exceptions.HTTPError:
            assert time.monotonic() < deadline, "nothing serves"
            time.sleep(0.1)
