"""The endpoint answers as documented, tells callers their mistakes, and lives on."""

import base64
import contextlib
import http.client
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from image_classifier import endpoint as endpoint_module
from image_classifier import inference, payload
from image_classifier.images import open_image
from PIL import Image

from tests.include.classifier.drawing import CLASSES, IMAGE_SIZE, draw, encode, png_that_claims
from tests.include.classifier.hostile_images import photograph, with_size
from tests.include.classifier.training import Trained

PHOTO = encode(draw(CLASSES["002.Green"], seed=7))


def post(
    endpoint: str, body: bytes | object, content_type: str | None = "application/json"
) -> tuple[int, Any]:
    """Invoke the endpoint, and return the status and the JSON it answered."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    # urllib adds a content type of its own unless there is one; an empty one counts as none.
    request = urllib.request.Request(endpoint, data, {"Content-Type": content_type or ""})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def in_json(image: bytes, **more: object) -> dict[str, object]:
    return {"image": base64.b64encode(image).decode(), **more}


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("JPEG", "application/x-image"),
        ("GIF", "image/gif"),
        ("BMP", "application/octet-stream"),
        ("TIFF", "image/tiff"),
        ("MPO", "image/jpg"),
        ("AVIF", "image/avif"),
    ],
)
def test_an_image_gets_its_label(kind: str, content_type: str, endpoint: str) -> None:
    status, answer = post(endpoint, encode(draw(CLASSES["002.Green"], seed=7), kind), content_type)

    assert status == 200
    assert answer["predictions"][0]["label"] == "002.Green"
    assert answer["model"] == "7"


def test_the_most_probable_label_comes_first(endpoint: str) -> None:
    _, answer = post(endpoint, PHOTO, "image/jpeg")

    probabilities = [prediction["probability"] for prediction in answer["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)  # three classes, of which five were asked


def test_top_k_limits_the_predictions(endpoint: str) -> None:
    _, answer = post(endpoint, in_json(PHOTO, top_k=1))

    assert [prediction["label"] for prediction in answer["predictions"]] == ["002.Green"]


def test_a_batch_is_answered_in_its_order(endpoint: str) -> None:
    images = [encode(draw(color, seed=9)) for color in CLASSES.values()]

    _, answers = post(endpoint, [in_json(image) for image in images])

    assert [answer["predictions"][0]["label"] for answer in answers] == list(CLASSES)


MULTIPART = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.jpg"\r\n\r\nphoto\r\n--x--\r\n'
MULTIPART_TYPE = "multipart/form-data; boundary=x"

BAD_REQUESTS = [
    pytest.param(b"\xff\xfe", "text/csv", 415, "text/csv is unknown", id="bytes as csv"),
    pytest.param(b"\xff", "application/x-npy", 415, "is unknown", id="another type of the toolkit"),
    pytest.param({"s3": "s3://a/\ud800"}, "application/json", 400, "surrogate", id="surrogate"),
    pytest.param([{"url": "http://\0/"}] * 2, "application/json", 400, "unknown", id="zero byte in a host"),
    pytest.param(b"x", "text/plain", 415, "text/plain is unknown", id="content type"),
    pytest.param(b"x", None, 415, "no content type", id="empty content type"),
    pytest.param(
        b"a=1&b=2", "application/x-www-form-urlencoded", 415, "x-www-form-urlencoded is unknown", id="form"
    ),
    pytest.param(MULTIPART % b"photo", MULTIPART_TYPE, 400, "is not a JPEG", id="multipart"),
    pytest.param(MULTIPART[:-8], MULTIPART_TYPE, 400, "cut off", id="multipart that is cut off"),
    pytest.param(b"", None, 415, "no content type", id="nothing at all"),
    pytest.param(b"", "application/json", 400, "empty", id="empty JSON"),
    pytest.param(b"no image", "image/jpeg", 400, "is not a JPEG", id="no image"),
    pytest.param(PHOTO[:1500], "image/jpeg", 400, "truncated", id="truncated"),
    pytest.param(b"", "image/jpeg", 400, "empty", id="empty"),
    pytest.param(b"{", "application/json", 400, "not valid JSON", id="half a document"),
    pytest.param(b'"\xff"', "application/json", 400, "not valid JSON", id="not utf-8"),
    pytest.param(bytes(26 * 1024 * 1024), "image/png", 413, "more than", id="too big"),
    pytest.param({"link": "x"}, "application/json", 400, "exactly one of", id="unknown field"),
    pytest.param(in_json(b"x"), "application/json", 400, "is not a JPEG", id="no image in json"),
    pytest.param({"url": "http://127.0.0.1/"}, "application/json", 400, "not on the public", id="loopback"),
    pytest.param(
        {"url": "http://169.254.169.254/"}, "application/json", 400, "not on the public", id="metadata"
    ),
    pytest.param({"url": "file:///etc/passwd"}, "application/json", 400, "http:// or", id="file"),
    pytest.param(
        {"url": "http://nowhere.invalid/"}, "application/json", 400, "is unknown", id="unknown host"
    ),
    pytest.param({"s3": "s3://a/b"}, "application/json", 400, "does not read from S3", id="s3"),
    pytest.param([in_json(PHOTO), in_json(b"x")], "application/json", 400, "Item 2", id="batch with one bad"),
    pytest.param([in_json(PHOTO)] * 17, "application/json", 400, "1 to 16 images", id="batch of 17"),
]


def test_a_request_without_a_content_type_counts_as_json(endpoint: str) -> None:
    """As AWS's adapter has it; urllib would send a type of its own."""
    url = urllib.parse.urlsplit(endpoint)
    with contextlib.closing(http.client.HTTPConnection(url.netloc)) as connection:
        connection.request("POST", url.path, PHOTO)
        photo = connection.getresponse()
        assert (photo.status, "is not valid JSON" in json.loads(photo.read())["error"]) == (400, True)
        connection.request("POST", url.path, json.dumps(in_json(PHOTO)))
        assert connection.getresponse().status == 200


def test_the_largest_body_is_read_and_one_byte_more_is_not(endpoint: str) -> None:
    status, answer = post(endpoint, bytes(payload.MAX_BODY_BYTES), "image/jpeg")
    assert (status, "is not a JPEG" in answer["error"]) == (400, True), answer
    status, answer = post(endpoint, bytes(payload.MAX_BODY_BYTES + 1), "image/jpeg")
    assert (status, "26,214,401 bytes, more than 26,214,400" in answer["error"]) == (413, True), answer
    status, _ = post(endpoint, bytes(payload.MAX_BODY_BYTES + 1), "text/csv")
    assert status == 415


@pytest.mark.parametrize(("body", "content_type", "status", "message"), BAD_REQUESTS)
def test_a_bad_request_is_told_in_one_sentence(
    body: object, content_type: str | None, status: int, message: str, endpoint: str
) -> None:
    answered, answer = post(endpoint, body, content_type)

    assert answered == status
    assert list(answer) == ["error"]
    assert message in answer["error"]
    assert "Traceback" not in answer["error"]


def turned(image: Image.Image) -> bytes:
    """A JPEG of which the EXIF data say that it is to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(image, exif=exif)


GREEN = draw(CLASSES["002.Green"], seed=7)
UNUSUAL_IMAGES = [
    pytest.param(encode(GREEN, "GIF", save_all=True, append_images=[draw((0, 0, 0))]), id="animated gif"),
    pytest.param(encode(GREEN, "WEBP", save_all=True, append_images=[draw((0, 0, 0))]), id="animated webp"),
    pytest.param(encode(Image.fromarray(np.full((80, 80), 40_000, np.uint16)), "PNG"), id="16 bits"),
    pytest.param(encode(GREEN.convert("CMYK")), id="cmyk"),
    pytest.param(encode(GREEN.convert("RGBA"), "PNG"), id="alpha"),
    pytest.param(encode(GREEN.convert("LA"), "PNG"), id="gray with alpha"),
    pytest.param(encode(GREEN.convert("P"), "PNG"), id="palette"),
    pytest.param(encode(GREEN.convert("L")), id="gray"),
    pytest.param(encode(GREEN.convert("1"), "PNG"), id="black and white"),
    pytest.param(encode(GREEN, progressive=True), id="progressive"),
    pytest.param(encode(GREEN.resize((2400, 2000))), id="large"),
    pytest.param(encode(GREEN.resize((7, 5)), "PNG"), id="tiny"),
    pytest.param(turned(GREEN), id="turned"),
]


@pytest.mark.parametrize("image", UNUSUAL_IMAGES)
def test_an_unusual_image_is_answered(image: bytes, endpoint: str) -> None:
    status, answer = post(endpoint, image, "image/jpeg")

    assert status == 200
    assert len(answer["predictions"]) == len(CLASSES)


BAD_IMAGES = [
    pytest.param(b"", "empty", id="nothing"),
    pytest.param("a text, in UTF-8: ü".encode(), "is not a JPEG", id="text"),
    pytest.param(encode(GREEN, "PPM"), "is not a JPEG", id="another format"),
    pytest.param(PHOTO[:1500], "truncated", id="half a jpeg"),
    pytest.param(encode(GREEN, "PNG")[:9000], "truncated", id="half a png"),
    pytest.param(png_that_claims(30_000, 30_000), "pixels", id="bomb"),
    pytest.param(png_that_claims(7_000, 7_000), "truncated", id="a header without the pixels"),
]


@pytest.mark.parametrize(("image", "message"), BAD_IMAGES)
def test_after_an_image_that_cannot_be_used_the_next_one_is_answered(
    image: bytes, message: str, endpoint: str
) -> None:
    status, answer = post(endpoint, image, "image/png")
    assert status == 400
    assert message in answer["error"]

    status, answer = post(endpoint, PHOTO, "image/jpeg")
    assert (status, answer["predictions"][0]["label"]) == (200, "002.Green")


class Context:
    def set_response_status(self, code: int, phrase: str) -> None:
        self.code, self.phrase = code, phrase


def test_a_failure_of_the_model_is_a_500_without_its_reason(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = inference.model_fn(str(trained.model))
    monkeypatch.setattr(model, "probabilities", lambda prepared: 1 / 0)
    context = Context()

    answer, _ = inference.transform_fn(model, PHOTO, "image/jpeg", "application/json", context)

    assert context.code == 500
    assert "division" not in answer


def test_a_batch_that_takes_too_long_to_decode_is_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, context = inference.model_fn(str(trained.model)), Context()
    monkeypatch.setattr(model, "prepare", lambda image: pytest.fail("an image was decoded"))
    batch = [in_json(png_that_claims(8000, 8000))] * 5

    answer, _ = inference.transform_fn(model, json.dumps(batch), "application/json", "", context)

    assert context.code == 413
    assert "320,000,000 pixels" in json.loads(answer)["error"]


def test_a_batch_of_photographs_is_not_too_large() -> None:
    photos = [payload.Item(with_size(photograph(), 4000, 3000))] * 16

    inference.check_batch(photos)


def test_a_batch_is_one_forward_pass(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    model = inference.model_fn(str(trained.model))
    run, shapes = model.run, []
    monkeypatch.setattr(model, "run", lambda images: shapes.append(images.shape) or run(images))

    answer, _ = inference.transform_fn(
        model, json.dumps([in_json(PHOTO)] * 16), "application/json", "", Context()
    )

    assert len(json.loads(answer)) == 16
    assert shapes == [(16, 3, IMAGE_SIZE, IMAGE_SIZE)]


def test_the_images_of_a_batch_do_not_change_each_other(trained: Trained) -> None:
    model = inference.model_fn(str(trained.model))
    images = [encode(draw(color, seed=9)) for color in CLASSES.values()]

    def ask(*batch: bytes) -> list[dict[str, float]]:
        body = json.dumps([in_json(image) for image in batch])
        answers = json.loads(inference.transform_fn(model, body, "application/json", "", Context())[0])
        return [{p["label"]: p["probability"] for p in answer["predictions"]} for answer in answers]

    for together, alone in zip(ask(*images), [ask(image)[0] for image in images], strict=True):
        assert together == pytest.approx(alone, abs=1e-5)


def test_a_model_without_a_version_says_so(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    model = inference.model_fn(str(trained.model))

    answer, kind = inference.transform_fn(model, PHOTO, "image/jpeg", "*/*", Context())

    assert json.loads(answer)["model"] == "unversioned"
    assert kind == "application/json"


def test_serving_by_onnx_runtime_needs_no_torch(trained: Trained, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[0] = {str(trained.model / 'code')!r}\n"
        "class Context:\n    def set_response_status(self, code, phrase): assert code == 200\n"
        f"import inference; model = inference.model_fn({str(trained.model)!r})\n"
        f"inference.transform_fn(model, {PHOTO!r}, 'image/jpeg', '', Context())\n"
        "assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_format_without_a_decoder_is_said_to_be_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_classifier.image_decoding.heif.can_decode", lambda kind: False)
    image = encode(draw(CLASSES["002.Green"], seed=7), "AVIF")
    model: Any = SimpleNamespace(prepare=open_image)
    for body, prefix in ((in_json(image), ""), ([in_json(PHOTO), in_json(image)], "Item 2 of the batch: ")):
        context = endpoint_module.ResponseContext()
        answer, _ = inference.transform_fn(model, json.dumps(body), "application/json", "", context)
        assert context.status == 415
        assert json.loads(answer)["error"].startswith(
            f"{prefix}The image is an AVIF image, which is not decoded here"
        )
