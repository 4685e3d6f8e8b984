"""A serving process whose workers are all busy queues so many requests and answers the rest 503."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from include.local_aws.sagemaker import serving
from tests.environments import WITHOUT_TORCH
from tests.free_ports import free_port
from tests.include.local_aws.sagemaker.conftest import INFERENCE
from tests.include.local_aws.sagemaker.ping import wait_until_it_serves

HTTP = urllib3.PoolManager(maxsize=16)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a process with one worker and a queue of two."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(INFERENCE)
    (tmp_path / "answer.txt").write_text("yes")
    port = free_port()
    for name, value in {**WITHOUT_TORCH, "SAGEMAKER_BASE_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    process = subprocess.Popen(
        [sys.executable, "-P", serving.__file__, str(port), str(tmp_path), "1", "2"], cwd=tmp_path
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_serves(url)
        yield url
    finally:
        process.kill()
        process.wait()


def test_what_finds_the_queue_full_is_answered_503_at_once(url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    body = json.dumps({"gate": str(gate)})

    def invoke(body: str = body) -> tuple[int, dict[str, object]]:
        answer = HTTP.request(
            "POST", f"{url}/invocations", body=body, headers={"Content-Type": "application/json"}, timeout=60
        )
        return answer.status, answer.json()

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(invoke) for _ in range(8)]
        while sum(answer.done() for answer in answers) < 5:
            time.sleep(0.02)
        refused = [answer.result() for answer in answers if answer.done()]
        # The health check has no queue.
        assert HTTP.request("GET", f"{url}/ping").status == 200
        gate.touch()
        statuses = sorted(answer.result()[0] for answer in answers)
    assert statuses == [200] * 3 + [503] * 5
    assert [status for status, _ in refused] == [503] * 5
    assert {document["type"] for _, document in refused} == {"ServiceUnavailableException"}
    assert invoke("{}")[0] == 200  # the queue is empty again


def test_without_a_limit_nobody_waits() -> None:
    workers = serving.Workers(0, 0)
    with workers.turn(), workers.turn(), workers.turn():
        pass
