"""Asks one model about every test image, through the code that the model was saved with.

evaluate.py starts it as `evaluation_worker.py <model folder> <images> <answers> <name>`, in a process of its
own: the modules of two models have the same names. It speaks to the model as an endpoint does, so that it
understands models of other versions, and so that the time it measures is what a caller would wait for.
"""

import base64
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

SECONDS_BETWEEN_PROGRESS = 10.0


class ResponseContext:
    """Stands for the model server: keeps the status of the last answer."""

    status = 200

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.status = code


def main(model_dir: str, images: str, answers: str, name: str) -> None:
    """Write for each of the [path, label] in images what the model said.

    That is answer (the most probable label), its probability, rank and loss of the right label, and the
    milliseconds it took.
    """
    # In place of this script's folder: the model's own modules are meant, not those beside this file.
    sys.path[0] = str(Path(model_dir) / "code")
    import inference

    classes = len(json.loads((Path(model_dir) / "classes.json").read_text()))
    model = inference.model_fn(model_dir)
    # Models of earlier versions do not say it.
    runtime, precision = (getattr(model, key, "unknown") for key in ("runtime", "precision"))
    print(f"{name}: judged by {runtime} in {precision}", flush=True)
    questions = json.loads(Path(images).read_text())
    ask(inference, model, questions[0][0], classes)  # the first request is slower than all others
    results = []
    reported = time.monotonic()
    for number, (path, label) in enumerate(questions, start=1):
        predictions, seconds = ask(inference, model, path, classes)
        rank = [prediction["label"] for prediction in predictions].index(label)
        loss = -math.log(max(predictions[rank]["probability"], sys.float_info.min))
        results.append(
            {
                "answer": predictions[0]["label"],
                "probability": predictions[0]["probability"],
                "rank": rank,
                "loss": loss,
                "milliseconds": seconds * 1000,
            }
        )
        if number == len(questions) or time.monotonic() - reported > SECONDS_BETWEEN_PROGRESS:
            reported = time.monotonic()
            print(f"{name}: {number} of {len(questions)} test images", flush=True)
    Path(answers).write_text(json.dumps(results))


def ask(inference: Any, model: Any, path: str, classes: int) -> tuple[list[dict[str, Any]], float]:
    """Return the model's predictions for an image file, most probable first, and the seconds they took."""
    image = base64.b64encode(Path(path).read_bytes()).decode()
    body = json.dumps({"image": image, "top_k": classes}).encode()
    context = ResponseContext()
    started = time.perf_counter()
    answer, _ = inference.transform_fn(model, body, "application/json", "application/json", context)
    seconds = time.perf_counter() - started
    if context.status != 200:
        sys.exit(f"{path}: {json.loads(answer)['error']}")
    return json.loads(answer)["predictions"], seconds


if __name__ == "__main__":
    main(*sys.argv[1:])
