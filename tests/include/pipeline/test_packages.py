"""Archives: equal source gives equal bytes, and the content is complete."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from typing import Any

import pytest

from include.pipeline import packages, wheels
from include.pipeline.settings import Classifier, Project


def test_equal_source_gives_equal_bytes(project: Project) -> None:
    assert packages.classifier_package(project) == packages.classifier_package(project)
    assert packages.function_package() == packages.function_package()


def test_the_classifier_archive_includes_the_architecture_that_images_lack(project: Project) -> None:
    with tarfile.open(fileobj=io.BytesIO(packages.classifier_package(project).content)) as archive:
        names = archive.getnames()
    assert {"train.py", "features.py", "evaluate.py", "inference.py"} <= set(names)
    assert "efficientnet_lite_pytorch/model.py" in names
    assert not [name for name in names if "pycache" in name or "test" in name]


def test_torchvision_architectures_need_nothing_vendored(project: Project) -> None:
    resnet = project.model_copy(update={"classifier": Classifier(architecture="resnet50")})
    with tarfile.open(fileobj=io.BytesIO(packages.classifier_package(resnet).content)) as archive:
        assert not [name for name in archive.getnames() if name.startswith("efficientnet")]


def test_packing_imports_no_torch(project: Project) -> None:
    sys.modules.pop("efficientnet_lite_pytorch", None)
    packages.classifier_package(project)
    assert "efficientnet_lite_pytorch" not in sys.modules


def test_the_function_archive_has_a_handler_that_lambda_can_read() -> None:
    with zipfile.ZipFile(io.BytesIO(packages.function_package().content)) as archive:
        assert archive.namelist() == [
            "handler.py",
            "image_classifier/__init__.py",
            "image_classifier/request_body.py",
        ]
        assert archive.getinfo("handler.py").external_attr >> 16 == 0o644


def test_code_is_uploaded_once_under_its_digest(
    project: Project, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "files", lambda *_: {})
    first = packages.upload_classifier(project, "bucket", s3)
    modified = s3.list_objects_v2(Bucket="bucket")["Contents"][0]["LastModified"]
    assert packages.upload_classifier(project, "bucket", s3) == first
    found = s3.list_objects_v2(Bucket="bucket")["Contents"]
    assert [item["Key"] for item in found] == [f"birds/code/{first.sha256}/sourcedir.tar.gz"]
    assert found[0]["LastModified"] == modified
