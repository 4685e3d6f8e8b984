"""Data capture of endpoints: requests and answers that are kept in S3, as JSON lines for Model Monitor."""

import base64
import datetime
import json
import logging
import random
import threading
import uuid
from collections import defaultdict
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.principals import Principal
from include.local_aws.sagemaker.documents import Document

_BATCH_SECONDS = 1.0
_ENCODINGS = {"JsonContentTypes": "JSON", "CsvContentTypes": "CSV"}
_log = logging.getLogger(__name__)


def described(capture: Document | None) -> Document | None:
    """Return what DescribeEndpoint shows of a configuration's ``DataCaptureConfig``."""
    if capture is None:
        return None
    enabled = capture.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        **({"KmsKeyId": capture["KmsKeyId"]} if "KmsKeyId" in capture else {}),
    }


class DataCapture:
    """What all endpoints have captured and is not in S3 yet."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._lines: dict[str, list[str]] = defaultdict(list)
        self._closing = threading.Event()
        threading.Thread(target=self._send, daemon=True).start()

    def add(
        self,
        capture: Document | None,
        folder: str,
        request: tuple[str, bytes],
        answer: tuple[str, bytes],
        inference_id: str | None,
    ) -> None:
        """Keep a request and its answer, each with its content type, if the sample takes them.

        :param capture: the ``DataCaptureConfig`` of the endpoint's configuration
        :param folder: ``<endpoint>/<variant>``, below the destination
        """
        if capture is None or not capture.get("EnableCapture", True):
            return
        if random.uniform(0, 100) >= capture["InitialSamplingPercentage"]:  # noqa: S311 - a sample, no secret
            return
        modes = {option["CaptureMode"] for option in capture["CaptureOptions"]}
        captured = {}
        if modes & {"Input", "InputAndOutput"}:
            captured["endpointInput"] = _captured(capture, "INPUT", *request)
        if modes & {"Output", "InputAndOutput"}:
            captured["endpointOutput"] = _captured(capture, "OUTPUT", *answer)
        now = datetime.datetime.now(datetime.UTC)
        metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if inference_id is not None:
            metadata["inferenceId"] = inference_id
        line = {"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}
        destination = f"{capture['DestinationS3Uri'].rstrip('/')}/{folder}/{now:%Y/%m/%d/%H}"
        with self._lock:
            self._lines[destination].append(json.dumps(line))

    def close(self) -> None:
        """Stop writing to S3."""
        self._closing.set()

    def _send(self) -> None:
        while not self._closing.wait(_BATCH_SECONDS):
            with self._lock:
                waiting, self._lines = self._lines, defaultdict(list)
            for destination, lines in waiting.items():
                self._write(destination, lines)

    def _write(self, destination: str, lines: list[str]) -> None:
        now = datetime.datetime.now(datetime.UTC)
        name = f"{now:%M-%S}-{now.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
        bucket, key = object_store.split_uri(f"{destination}/{name}")
        try:
            self._config.client("s3", Principal.JOB).put_object(
                Bucket=bucket, Key=key, Body=("\n".join(lines) + "\n").encode()
            )
        except (BotoCoreError, ClientError) as error:
            _log.warning("%d captured requests were lost: %s: %s", len(lines), destination, error)


def _captured(capture: Document, mode: str, content_type: str, body: bytes) -> dict[str, Any]:
    plain = content_type.partition(";")[0].strip()
    types = capture.get("CaptureContentTypeHeader", {})
    encoding = next((name for member, name in _ENCODINGS.items() if plain in types.get(member, ())), "BASE64")
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
