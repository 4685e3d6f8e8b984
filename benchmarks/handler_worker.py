"""Classify photos with a handler in its own process, in rounds, and print the latency of each prediction.

``python -m benchmarks.handler_worker ours|original <model folder> <folder of photos>`` prints ``ready`` and then, for
each input line, a :class:`benchmarks.latency.Round` as JSON: for all photos if the line is ``all``, or for one photo
if the line is its number, starting with 0.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from benchmarks.latency import Round, measure, timed

ALL = "all"

Answer = Callable[[list[bytes]], str]


def main(way: str, model: str, photos: str) -> None:
    answer = {"ours": ours, "original": original}[way](Path(model))
    bodies = [path.read_bytes() for path in sorted(Path(photos).iterdir())]
    measure(bodies[:1], answer, answer)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = line.strip()
        found = (
            measure(bodies, answer, answer)
            if asked == ALL
            else Round([timed(answer, [bodies[int(asked)]])], [])
        )
        print(json.dumps(found), flush=True)


def ours(model: Path) -> Answer:
    """Return the handler that was saved with the model, from bytes to JSON, called as by the AWS toolkit."""
    sys.path.insert(0, str(model / "code"))
    import inference

    predictor = inference.model_fn(str(model))
    statuses: list[int] = []
    context = SimpleNamespace(set_response_status=lambda code, phrase: statuses.append(code))

    def answer(bodies: list[bytes]) -> str:
        if len(bodies) == 1:
            body, kind = bodies[0], "image/jpeg"
        else:
            body, kind = as_batch(bodies), "application/json"
        text, _ = inference.transform_fn(predictor, body, kind, "application/json", context)
        if statuses.pop() != 200:
            raise RuntimeError(f"The handler rejected a photo: {text}")
        return str(text)

    return answer


def as_batch(bodies: list[bytes]) -> bytes:
    """Return a request with several images."""
    return json.dumps([{"image": base64.b64encode(body).decode()} for body in bodies]).encode()


def original(model: Path) -> Answer:
    """Return the original handler, from bytes to JSON; it classifies several photos in one forward pass."""
    from benchmarks import original

    network = original.load(model)
    return lambda bodies: json.dumps(original.answer(network, bodies))


if __name__ == "__main__":
    main(*sys.argv[1:])
