"""The data report: complete in itself, escaped, and bounded."""

from __future__ import annotations

import re
from typing import Any

from include.pipeline.data import data_report
from include.pipeline.data.dataset import Layout, assemble
from include.pipeline.data.image_check import SetAside, check_image
from include.pipeline.settings import Data, Project

from .conftest import jpeg

HOSTILE = "<script>alert('1')</script>&quot;"


def rendered(project: Project, labels: list[str], set_aside: int = 0, seeds: int = 10_000) -> str:
    paths = [f"{split}/{label}/1.jpg" for split in ("train", "valid", "test") for label in labels]
    pictured = data_report.choose_thumbnails(paths)
    images = [
        check_image(path, jpeg(seed % seeds), Data(), thumbnail=path in pictured)
        for seed, path in enumerate(paths)
    ]
    left = [SetAside(f"train/{HOSTILE}/{n}.jpg", f"it is {HOSTILE}") for n in range(set_aside)]
    layout = Layout({path: path for path in paths}, set(), True)
    data_set = assemble(layout, images, left, Data())
    return data_report.render(project, f"https://host/{HOSTILE}", "s3://bucket/birds/data/1", data_set)


def test_the_page_shows_counts_pictures_and_what_is_wrong(project: Project) -> None:
    page = rendered(project, ["001.Robin", "002.Wren"], set_aside=3)
    assert "3 of 9 images can&#x27;t be used" in page
    assert "can&#x27;t be used: 1 error" in page or "can't be used: 1 error" in page
    assert "<td>001.Robin</td><td>1</td><td>1</td><td>1</td>" in page
    assert page.count("<rect") == 6
    assert page.count("data:image/jpeg;base64,") == 6
    assert page.count("alt=") == page.count("<img")


def test_a_leak_is_shown_as_pictures(project: Project) -> None:
    page = rendered(project, ["001.Robin", "002.Wren"], seeds=4)  # the test images are those of train
    errors = re.findall(r"<section class='error'>.*?</section>", page)
    assert len(errors) == 1
    assert errors[0].count("<img") == 4
    assert "test/001.Robin/1.jpg is the same image as train/001.Robin/1.jpg" in errors[0]


def test_names_can_not_bring_code_along(project: Project) -> None:
    page = rendered(project, [HOSTILE.replace("/", ":"), "b"], set_aside=3)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_page_of_many_classes_stays_small(project: Project) -> None:
    page = rendered(project, [f"{n:03d}.breed" for n in range(133)], set_aside=2_000)
    assert len(page) < 5_000_000
    assert "And 1,700 more" in page


def test_every_class_has_its_pictures_and_always_the_same() -> None:
    paths = [f"train/{label}/{n}.jpg" for label in "abc" for n in range(100)]
    chosen = data_report.choose_thumbnails(paths)
    assert chosen == data_report.choose_thumbnails(reversed(paths))
    assert {label: sum(path.split("/")[1] == label for path in chosen) for label in "abc"} == {
        "a": 8,
        "b": 8,
        "c": 8,
    }
    assert len(data_report.choose_thumbnails(f"{n}/1.jpg" for n in range(500))) == 500


def test_the_page_is_put_beside_the_images(s3: Any) -> None:
    address = data_report.publish("<p>", "s3://bucket/birds/data/1", s3)
    assert address == "s3://bucket/birds/data/1/report.html"
    answer = s3.get_object(Bucket="bucket", Key="birds/data/1/report.html")
    assert (answer["ContentType"], answer["Body"].read()) == ("text/html; charset=utf-8", b"<p>")
