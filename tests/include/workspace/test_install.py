"""Files for a workspace replace their earlier versions, but no files that the user has changed."""

from pathlib import Path

from include.workspace.install import RECORD, install


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def read(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }


def test_new_versions_replace_only_unchanged_files(tmp_path: Path) -> None:
    target = tmp_path / "user"
    target.mkdir()
    first = write(tmp_path / "first", notebook="1", code__train="1", code__model="1")
    assert install(first, target) == []
    write(target, code__train="mine", notes="mine")
    (target / "notebook").unlink()
    second = write(tmp_path / "second", notebook="2", code__train="2", code__model="2")
    assert install(second, target) == ["code/train"]
    expected = {"notebook": "2", "code/train": "mine", "code/model": "2", "notes": "mine"}
    assert read(target) == expected
    assert install(second, target) == ["code/train"]
    assert read(target) == expected
    write(target, code__train="2")  # the user's file is equal to the shipped one
    assert install(write(tmp_path / "third", code__train="3"), target) == ["code/train"]
    assert install(second, target) == []


def test_existing_files_of_the_user_are_kept(tmp_path: Path) -> None:
    target = write(tmp_path / "user", notebook="mine")
    assert install(write(tmp_path / "shipped", notebook="1"), target) == ["notebook"]
    assert read(target) == {"notebook": "mine"}
