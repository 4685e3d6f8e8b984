"""Stop an idle notebook instance: ``python idle_stop.py INSTANCE REGION MINUTES``.

An instance is idle if no kernel is busy, and no kernel or terminal has been active for this number of minutes. A page
that is only open in a browser does not count as activity.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

AWS_ADDRESS = "https://localhost:8443/"
"""The default URL of Jupyter on a notebook instance, if there is no runtime file."""


def servers() -> list[dict[str, str]]:
    """Return the URL and token of the Jupyter servers on this machine, from Jupyter's runtime files."""
    default = Path.home() / ".local" / "share" / "jupyter" / "runtime"
    folder = Path(os.environ.get("JUPYTER_RUNTIME_DIR", default))
    notes = []
    for path in folder.glob("jpserver-*.json"):
        with suppress(OSError, ValueError):  # the file is being written or deleted
            notes.append(json.loads(path.read_text()))
    return notes or [{"url": AWS_ADDRESS, "token": ""}]


def last_activity(server: dict[str, str], now: float) -> float:
    """Return when a server's kernels and terminals were last active, in seconds since the epoch; 0 for never.

    :param now: The return value if a kernel is busy.
    :raises OSError: If the server can't be reached.
    :raises ValueError: If the response is not that of a Jupyter server.
    """
    latest = 0.0
    for one in [*_ask(server, "kernels"), *_terminals(server)]:
        if one.get("execution_state") == "busy":
            return now
        latest = max(latest, datetime.fromisoformat(one["last_activity"].replace("Z", "+00:00")).timestamp())
    return latest


def watch(instance: str, region: str, minutes: float) -> None:
    """Poll every minute, or ten times within a shorter limit, and return when the instance is being stopped.

    A server that can no longer be reached counts as idle. If no server was ever reached, the instance is not stopped,
    since its activity is unknown.
    """
    latest, seen = time.time(), False
    while True:
        for server in servers():
            try:
                latest, seen = max(latest, last_activity(server, time.time())), True
            except (OSError, ValueError, KeyError) as error:
                print(f"{server['url']} can't be reached: {error!r}")
        if seen and time.time() - latest >= minutes * 60:
            print(f"Idle for {minutes:g} minutes. Stopping {instance}.")
            try:
                sagemaker = boto3.client("sagemaker", region_name=region)
                sagemaker.stop_notebook_instance(NotebookInstanceName=instance)
            except Exception as error:  # the next poll may succeed after any error
                print(f"{instance} can't be stopped now: {error}")
            else:
                return
        time.sleep(min(60, minutes * 60 / 10))


def _terminals(server: dict[str, str]) -> list[dict[str, Any]]:
    try:
        return _ask(server, "terminals")
    except urllib.error.HTTPError as error:
        if error.code == 404:  # a server may have no terminals
            return []
        raise


def _ask(server: dict[str, str], resource: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{server['url']}api/{resource}")  # noqa: S310 - the URL of Jupyter
    if server["token"]:
        request.add_header("Authorization", f"token {server['token']}")
    # The certificate is self-signed, and the server is on this machine.
    context = ssl._create_unverified_context() if server["url"].startswith("https") else None  # noqa: S323, SLF001
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
    )
    with opener.open(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


if __name__ == "__main__":
    watch(sys.argv[1], sys.argv[2], float(sys.argv[3]))
