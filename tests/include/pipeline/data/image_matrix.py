"""What becomes of images of each format in the data check, training, evaluation, endpoint and function.

``.venv/bin/python tests/include/pipeline/data/image_matrix.py`` writes the table of docs/image-formats.md.
"""

import base64
import contextlib
import importlib.util
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[4]
sys.path[:0] = [str(ROOT / folder) for folder in ("", "include/classifier", "tests/include/classifier")]

import evaluation_worker  # noqa: E402
import numpy as np  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from heif_files import HEIC  # noqa: E402
from image_classifier import inference  # noqa: E402
from image_classifier.data import EvalTransform, ImageDataset, Normalization, Split  # noqa: E402
from image_classifier.errors import ClassifierError  # noqa: E402
from PIL import Image  # noqa: E402

from include.pipeline.data.image_check import ImageRefused, check_image, staged_content  # noqa: E402
from include.pipeline.settings import Data  # noqa: E402

PAGE = ROOT / "docs" / "image-formats.md"
BEGIN = "<!-- The table is written by tests/include/pipeline/data/image_matrix.py. -->\n"
FORMATS = ("JPEG", "progressive JPEG", "MPO", "PNG", "WebP", "BMP", "GIF", "TIFF", "HEIC", "AVIF")
COLUMNS = ("check", "train", "evaluate", "endpoint", "function")
SIDE = 24
CLASSES = [str(number) for number in range(8)]
YES = "yes"

_subject = re.compile(r"^(?:.*?: )?(?:it|The image(?: /\S+)?) (.*?)\.?$", re.DOTALL)


class Answer(NamedTuple):
    """What a column does with an image.

    :param reason: why it refuses it; YES if it doesn't.
    :param seen: what the model is given of it, or answers to it; None in the data check.
    """

    reason: str
    seen: Any = None


class Model:
    """Stands for a trained model: its probabilities are the brightness of parts of what it sees."""

    classes = CLASSES

    def __init__(self) -> None:
        self.transform = EvalTransform(SIDE, Normalization((0.0,) * 3, (1.0,) * 3))

    def prepare(self, image: bytes) -> np.ndarray:
        return self.transform.load(image)

    def probabilities(self, prepared: list[np.ndarray]) -> np.ndarray:
        return np.stack([view.reshape(len(CLASSES), -1).mean(axis=1) for view in prepared]).astype(float)


MODEL = Model()


# Images


def picture() -> Image.Image:
    """Noise on a gradient with a dark corner, which is different in each orientation."""
    across, down = np.meshgrid(np.linspace(40, 230, 120), np.linspace(20, 200, 80))
    pixels = np.stack([across, down, 250 - (across + down) / 2], axis=2)
    pixels += np.random.default_rng(0).normal(0, 12, pixels.shape)
    pixels[:24, :24] = 5
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def see_through() -> Image.Image:
    image = picture().convert("RGBA")
    image.paste((0, 0, 0, 0), (40, 0, 120, 40))
    return image


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(picture().convert("L")).astype(np.uint16) * 257)


def encoded(kind: str, image: Image.Image, **options: object) -> bytes:
    name = {"progressive JPEG": "JPEG", "WebP": "WEBP"}.get(kind, kind)
    if kind == "progressive JPEG":
        options["progressive"] = True
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


MODES: dict[str, tuple[str, Callable[[], Image.Image]]] = {
    "gray": ("L", lambda: picture().convert("L")),
    "black and white": ("1", lambda: picture().convert("1")),
    "transparent": ("RGBA", see_through),
    "palette": ("P", lambda: picture().convert("P")),
    "CMYK": ("CMYK", lambda: picture().convert("CMYK")),
    "16 bits a channel": ("I;16", sixteen_bits),
    "32-bit floating point": ("F", lambda: picture().convert("F")),
}
ODDITIES = (
    "plain",
    *MODES,
    "turned by its EXIF data",
    "animated",
    "3 MB of metadata",
    "its last two bytes are missing",
    "its second half is missing",
    "more than 64 million pixels",
    "200 times as wide as high",
)


def made(kind: str, oddity: str) -> bytes | None:
    """Return an image, or None where the format has no such images, or there is no encoder for it."""
    if kind == "HEIC":
        if oddity != "plain" and "missing" not in oddity:
            return None
        whole = HEIC
    elif oddity in MODES:
        mode, image = MODES[oddity]
        try:
            content = encoded(kind, image())
            with Image.open(io.BytesIO(content)) as stored:
                return content if stored.mode == mode else None
        except (OSError, ValueError, KeyError):
            return None
    elif oddity == "turned by its EXIF data":
        if kind in ("BMP", "GIF"):
            return None
        return encoded(kind, picture(), exif=turned())
    elif oddity == "animated":
        if kind not in ("MPO", "PNG", "WebP", "GIF", "TIFF", "AVIF"):
            return None
        return encoded(kind, picture(), save_all=True, append_images=[picture().rotate(180)])
    elif oddity == "3 MB of metadata":
        if kind in ("BMP", "GIF"):
            return None
        return encoded(kind, picture(), **_metadata(kind))
    elif oddity == "more than 64 million pixels":
        # Of formats whose encoder takes seconds and gigabytes for it, none is made.
        options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
        image = Image.new("1", (8_010, 8_000))
        return encoded(kind, image, **options) if kind in ("PNG", "TIFF", "GIF") else None
    elif oddity == "200 times as wide as high":
        return encoded(kind, Image.new("RGB", (1_600, 8)))
    else:
        whole = encoded(kind, picture())
    lost = {"its last two bytes are missing": 2, "its second half is missing": len(whole) // 2}
    return whole[: len(whole) - lost.get(oddity, 0)]


def _metadata(kind: str) -> dict[str, Any]:
    profile = np.random.default_rng(0).bytes(3_000_000)
    if kind in ("JPEG", "progressive JPEG", "MPO"):
        return {"icc_profile": profile}
    if kind == "TIFF":
        return {"tiffinfo": {700: profile}}
    return {"xmp": profile} if kind in ("WebP", "AVIF") else {"icc_profile": profile}


# Columns


def check(content: bytes) -> Answer:
    try:
        check_image("train/a/1.png", content, Data())
    except ImageRefused as error:
        return Answer(reason_of(str(error)))
    return Answer(YES)


def staged(content: bytes) -> bytes:
    """Return what training and evaluation find in S3: the image itself, or the PNG of it."""
    try:
        return staged_content(content, check_image("train/a/1.png", content, Data()))
    except ImageRefused:
        return content


def train(content: bytes, folder: Path) -> Answer:
    path = folder / "1.png"
    path.write_bytes(staged(content))
    try:
        view, _ = ImageDataset(Split("train", CLASSES, [path], [0]), MODEL.transform)[0]
    except ClassifierError as error:
        return Answer(reason_of(str(error)))
    return Answer(YES, rounded(json.loads(_transformed(view))["predictions"]))


def evaluate(content: bytes, folder: Path) -> Answer:
    path = folder / "1.png"
    path.write_bytes(staged(content))
    try:
        predictions, _ = evaluation_worker.ask(inference, MODEL, str(path), len(CLASSES))
    except SystemExit as error:
        return Answer(reason_of(str(error)))
    return Answer(YES, rounded(predictions))


def endpoint(content: bytes, folder: Path) -> Answer:
    status, answer = _transform(content, "image/*")
    return answered(status, answer)


def function(content: bytes, folder: Path) -> Answer:
    """Ask the function as its URL does, in front of the endpoint."""

    def invoke_endpoint(**members: Any) -> dict[str, Any]:
        status, answer = _transform(members["Body"], members["ContentType"])
        if status != 200:
            error = {"Error": {"Code": "ModelError"}, "OriginalStatusCode": status, "OriginalMessage": answer}
            raise ClientError(error, "InvokeEndpoint")  # type: ignore[arg-type]
        return {"Body": io.BytesIO(answer.encode())}

    handler = _handler()
    handler.runtime = SimpleNamespace(invoke_endpoint=invoke_endpoint)
    event = {
        "requestContext": {"http": {"method": "POST"}},
        "headers": {"content-type": "image/*"},
        "body": base64.b64encode(content).decode(),
        "isBase64Encoded": True,
    }
    with contextlib.redirect_stdout(None):  # its log
        got = handler.handler(event, None)
    return answered(got["statusCode"], got["body"])


def answered(status: int, answer: str) -> Answer:
    found = json.loads(answer)
    return Answer(YES, rounded(found["predictions"])) if status == 200 else Answer(reason_of(found["error"]))


def reason_of(sentence: str) -> str:
    found = _subject.match(sentence)
    return found[1] if found else sentence


def rounded(predictions: list[dict[str, Any]]) -> dict[str, float]:
    """The five most probable classes: what a request gets without ``top_k``."""
    return {one["label"]: round(one["probability"], 4) for one in predictions[:5]}


def _transform(body: bytes, content_type: str) -> tuple[int, str]:
    context = evaluation_worker.ResponseContext()
    answer, _ = inference.transform_fn(MODEL, body, content_type, "application/json", context)
    return context.status, answer


def _transformed(view: np.ndarray) -> str:
    row = MODEL.probabilities([view])[0]
    return json.dumps({"predictions": inference.top(CLASSES, row, len(CLASSES))})


def _handler() -> ModuleType:
    os.environ.setdefault("ENDPOINT_NAME", "matrix")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    spec = importlib.util.spec_from_file_location(
        "handler_of_images", ROOT / "include" / "lambda_function" / "handler.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Table


def answers(content: bytes) -> dict[str, Answer]:
    """Return what each column does with an image."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        further = {"train": train, "evaluate": evaluate, "endpoint": endpoint, "function": function}
        return {"check": check(content), **{name: ask(content, folder) for name, ask in further.items()}}


def rows() -> Iterator[tuple[str, str, dict[str, Answer]]]:
    """Yield format, oddity and answers of all images that can be made."""
    for kind in FORMATS:
        for oddity in ODDITIES:
            content = made(kind, oddity)
            if content is not None:
                yield kind, oddity, answers(content)


def table(rows: Iterable[tuple[str, str, dict[str, Answer]]]) -> str:
    """Return the answers as a table in Markdown."""
    lines = [f"| Format | Image | {' | '.join(COLUMNS)} | Reason |", "|---" * (len(COLUMNS) + 3) + "|"]
    for kind, oddity, found in rows:
        cells = ["yes" if found[column].reason == YES else "no" for column in COLUMNS]
        # What Pillow says, in parentheses, differs between its versions.
        reasons = dict.fromkeys(
            re.sub(r" \(.*", "", one.reason) for one in found.values() if one.reason != YES
        )
        lines.append(f"| {' | '.join([kind, oddity, *cells, '; '.join(reasons)])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    text = PAGE.read_text() if PAGE.exists() else BEGIN
    made = table(rows())
    PAGE.write_text(text[: text.index(BEGIN)] + BEGIN + "\n" + made)
    print(made)


if __name__ == "__main__":
    main()
