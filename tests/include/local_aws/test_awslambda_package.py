import io
import stat
import zipfile
from pathlib import Path

import pytest

from include.local_aws.awslambda import package
from include.local_aws.errors import AwsError


def packed(*names: str | zipfile.ZipInfo) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return content.getvalue()


def symbolic_link() -> zipfile.ZipInfo:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return link


def test_the_files_of_a_zip_are_written(tmp_path: Path) -> None:
    package.unpack(packed("app.py", "part/module.py"), tmp_path / "root")
    assert (tmp_path / "root" / "app.py").read_text() == "content"
    assert (tmp_path / "root" / "part" / "module.py").is_file()


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    package.unpack(packed("app.py"), tmp_path / "root")
    package.unpack(packed("other.py"), tmp_path / "root")
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["app.py"]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(packed("../out.py"), id="parent"),
        pytest.param(packed("a/../../out.py"), id="parent in the middle"),
        pytest.param(packed("/out.py"), id="absolute"),
        pytest.param(packed("..\\out.py"), id="backslash"),
        pytest.param(packed(symbolic_link()), id="symbolic link"),
        pytest.param(b"no zip", id="not a zip"),
    ],
)
def test_what_leads_elsewhere_or_is_no_zip_is_refused_and_nothing_written(
    tmp_path: Path, code: bytes
) -> None:
    with pytest.raises(AwsError) as caught:
        package.unpack(code, tmp_path / "lambda" / "root")
    assert caught.value.code == "InvalidZipFileException"
    assert [path for path in tmp_path.rglob("*") if path.name != "lambda"] == []


def test_a_package_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_UNPACKED_BYTES", 10)
    with pytest.raises(AwsError, match="14 bytes, and 10 are allowed"):
        package.unpack(packed("a.py", "b.py"), tmp_path / "root")
