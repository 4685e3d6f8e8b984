"""Stops a notebook instance that nobody uses: ``python idle_stop.py INSTANCE REGION MINUTES``.

It is in use while a kernel computes, and for so many minutes after the last thing that a kernel or a terminal did. A
page that is merely open in a browser does not count.
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
"""Where Jupyter listens on a notebook instance, if it has left no note of it."""


def servers() -> list[dict[str, str]]:
    """Address and token of the Jupyter servers that run here, by the notes that Jupyter itself keeps of them."""
    default = Path.home() / ".local" / "share" / "jupyter" / "runtime"
    folder = Path(os.environ.get("JUPYTER_RUNTIME_DIR", default))
    notes = []
    for path in folder.glob("jpserver-*.json"):
        with suppress(OSError, ValueError):  # it is being written, or deleted
            notes.append(json.loads(path.read_text()))
    return notes or [{"url": AWS_ADDRESS, "token": ""}]


def last_activity(server: dict[str, str], now: float) -> float:
    """When something last happened in a server's kernels and terminals, in seconds since the epoch; 0 for never.

    :param now: the answer where a kernel computes at this moment.
    :raises OSError: if the server can't be asked; likewise ValueError, if it does not answer as Jupyter does.
    """
    latest = 0.0
    for one in [*_ask(server, "kernels"), *_terminals(server)]:
        if one.get("execution_state") == "busy":
            return now
        latest = max(latest, datetime.fromisoformat(one["last_activity"].replace("Z", "+00:00")).timestamp())
    return latest


def watch(instance: str, region: str, minutes: float) -> None:
    """Look every minute, of a short time ten times, and return when the instance is being stopped.

    What can't be asked any more counts as idle. Where no server could ever be asked, nothing is stopped, since that
    tells nothing of the user.
    """
    latest, seen = time.time(), False
    while True:
        for server in servers():
            try:
                latest, seen = max(latest, last_activity(server, time.time())), True
            except (OSError, ValueError, KeyError) as error:
                print(f"{server['url']} can't be asked: {error!r}")
        if seen and time.time() - latest >= minutes * 60:
            print(f"Idle for {minutes:g} minutes: stopping {instance}.")
            try:
                sagemaker = boto3.client("sagemaker", region_name=region)
                sagemaker.stop_notebook_instance(NotebookInstanceName=instance)
            except Exception as error:  # whatever it is, the next look may do better
                print(f"{instance} can't be stopped now: {error}")
            else:
                return
        time.sleep(min(60, minutes * 60 / 10))


def _terminals(server: dict[str, str]) -> list[dict[str, Any]]:
    try:
        return _ask(server, "terminals")
    except urllib.error.HTTPError as error:
        if error.code == 404:  # a server may have none
            return []
        raise


def _ask(server: dict[str, str], resource: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{server['url']}api/{resource}")  # noqa: S310 - Jupyter's own address
    if server["token"]:
        request.add_header("Authorization", f"token {server['token']}")
    # Its certificate is its own, and it is on this machine.
    context = ssl._create_unverified_context() if server["url"].startswith("https") else None  # noqa: S323
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
    )
    with opener.open(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


if __name__ == "__main__":
    watch(sys.argv[1], sys.argv[2], float(sys.argv[3]))
