"""The data report: complete in itself, escaped, and bounded."""

from __future__ import annotations

import re
from typing import Any

from include.pipeline.data import data_report
from include.pipeline.data.dataset import assemble
from include.pipeline.data.image_check import CheckedImage, check_image
from include.pipeline.settings import Data, Project
from tests.include.pipeline.pages import samples

from .conftest import jpeg
from .layouts import layout_of

NAMES = ["001.Robin", "002.Wren"]


def findings(images: list[CheckedImage]) -> list[data_report.Finding]:
    data_set = assemble(layout_of(image.path for image in images), images, [], Data())
    project = Project(name="birds", description="Birds.")
    return data_report.report(project, "source", "s3://bucket/birds/data/1", data_set).findings


def test_the_page_shows_counts_pictures_and_what_is_wrong() -> None:
    text = samples.data_page(NAMES, set_aside=3)
    assert "3 of 9 images can&#39;t be used" in text
    assert "This data set can't be used: 1 error." in text
    assert (
        '<th scope="row">001.Robin</th><td class="number">1</td><td class="number">1</td>'
        '<td class="number">1</td>' in text
    )
    assert text.count("<meter ") == 2
    assert text.count("data:image/jpeg;base64,") == 6
    assert text.count("alt=") == text.count("<img")


def test_a_good_data_set_is_said_to_be_good() -> None:
    assert "This data set can be used." in samples.data_page(NAMES, each=12)


def test_identical_files_are_one_picture_with_all_paths() -> None:
    images = [
        check_image(path, jpeg(1), Data(), thumbnail=path.startswith("train"))
        for path in ("train/a/1.jpg", "test/a/2.jpg")
    ]
    [finding] = [each for each in findings(images) if each.check == "duplicates_across_splits"]
    [[picture]] = finding.groups
    assert picture.paths == ["train/a/1.jpg", "test/a/2.jpg"]
    assert picture.image.startswith("data:image/jpeg")


def test_images_that_look_the_same_are_all_shown_in_gray_if_one_of_them_has_no_thumbnail() -> None:
    images = [
        check_image(path, jpeg(1) + path.encode(), Data(), thumbnail=path.startswith("train"))
        for path in ("train/a/1.jpg", "test/a/2.jpg")
    ]
    [finding] = [each for each in findings(images) if each.check == "near_duplicates_across_splits"]
    [pair] = finding.groups
    assert [picture.paths for picture in pair] == [["train/a/1.jpg"], ["test/a/2.jpg"]]
    assert all(picture.image.startswith("data:image/png") for picture in pair)


def test_a_leak_is_shown_as_pictures() -> None:
    text = samples.data_page(NAMES, seeds=4)  # the test images are those of train
    errors = re.findall(r'<div class="note error">.*?\n  </div>', text, re.DOTALL)
    assert len(errors) == 1
    assert errors[0].count("<img") == 2
    assert errors[0].count("The same file at 2 paths") == 2
    assert "test/001.Robin/0.jpg is the same image as train/001.Robin/0.jpg" in errors[0]


def test_names_can_not_bring_code_along() -> None:
    text = samples.data_page([samples.HOSTILE.replace("/", ":"), "b"], set_aside=3)
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_page_of_many_classes_stays_small() -> None:
    text = samples.data_page([f"{n:03d}.breed" for n in range(133)], set_aside=2_000)
    assert len(text) < 5_000_000
    assert "And 1,700 more" in text


def test_every_class_has_its_pictures_and_always_the_same() -> None:
    paths = [f"train/{label}/{n}.jpg" for label in "abc" for n in range(100)]
    chosen = data_report.choose_thumbnails(paths)
    assert chosen == data_report.choose_thumbnails(reversed(paths))
    assert {label: sum(path.split("/")[1] == label for path in chosen) for label in "abc"} == {
        "a": 8,
        "b": 8,
        "c": 8,
    }
    assert len(data_report.choose_thumbnails((f"{n}/1.jpg" for n in range(500)), False)) == 500


def test_the_page_is_put_beside_the_images_and_leads_back_to_its_run(project: Project, s3: Any) -> None:
    data_set = assemble(layout_of([]), [], [], Data())
    uri = "s3://bucket/birds/data/1"
    assert data_report.publish(project, "source", uri, data_set, s3, samples.run()) == f"{uri}/report.html"
    answer = s3.get_object(Bucket="bucket", Key="birds/data/1/report.html")
    assert answer["ContentType"] == "text/html; charset=utf-8"
    assert "https://airflow.example.com/dags/" in answer["Body"].read().decode()
