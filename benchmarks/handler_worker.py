"""Answers photos by a handler in a process of its own, in rounds, and prints how long each answer took.

``python -m benchmarks.handler_worker ours|original <model folder> <folder of photos>`` prints ``ready``, and then,
for each line that it reads, a :class:`benchmarks.latency.Round` as JSON: of all photos where the line says ``all``,
of one alone where it is a number, from 0.
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
    """The handler that the model was saved with, from bytes to JSON, as AWS's toolkit calls it."""
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
            raise RuntimeError(f"The handler refused a photo: {text}")
        return str(text)

    return answer


def as_batch(bodies: list[bytes]) -> bytes:
    """The request for several images at once."""
    return json.dumps([{"image": base64.b64encode(body).decode()} for body in bodies]).encode()


def original(model: Path) -> Answer:
    """The original's handler, from bytes to JSON; given several photos it answers them in one pass."""
    from benchmarks import original

    network = original.load(model)
    return lambda bodies: json.dumps(original.answer(network, bodies))


if __name__ == "__main__":
    main(*sys.argv[1:])
