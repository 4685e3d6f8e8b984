"""Project files: YAML files that are read into the settings of a project, and sentences about what is wrong in them."""

from __future__ import annotations

import re
from pathlib import Path
from reprlib import Repr
from typing import Any

from pydantic import ValidationError

from include.pipeline import bounded_yaml
from include.pipeline.settings import Project, Section, SettingsError
from include.pipeline.target import is_local

PROJECTS_FOLDER = Path(__file__).parents[1] / "projects"
MAX_SENTENCES = 10
LOOKS_LIKE_SETTINGS = re.compile(r"[^.].*\.(ya?ml|json|toml)(\.txt)?", re.IGNORECASE)


def load_project(path: Path) -> Project:
    """Read one project file, with its section ``local`` laid over the rest where local AWS is used.

    :raises SettingsError: if the file can't be read or any key or value in it is wrong.
    """
    try:
        document = bounded_yaml.load(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path.name} can't be read: {error}.") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path.name} must hold keys and values, such as 'name: {path.stem}'.")
    overrides = document.pop("local", None)
    if overrides is None:
        overrides = {}
    if not isinstance(overrides, dict):
        raise SettingsError(
            f"{path.name}: local is {_brief.repr(overrides)}; it must hold keys and values that replace others on "
            "local AWS."
        )
    if "name" in overrides:
        raise SettingsError(f"{path.name}: local.name is set, but a project has one name; delete local.name.")
    try:
        plain = Project.model_validate(document)
        # The overrides are checked on either target: a typo must not wait for the next laptop.
        local = Project.model_validate(_merge(document, overrides))
    except ValidationError as error:
        raise SettingsError(_explain(path, error)) from error
    if plain.name != path.stem:
        raise SettingsError(
            f"{path.name}: name is {plain.name!r}; allowed: the file's own name, {path.stem!r}."
        )
    return local if is_local() else plain


def read_projects(folder: Path = PROJECTS_FOLDER) -> tuple[list[Project], list[SettingsError]]:
    """All projects of a folder in the order of their names, and an error for each file that is not one.

    Whatever is wrong with one file, the others are read.
    """
    try:
        found = sorted([*folder.iterdir(), *folder.glob("*/*")])
    except OSError as error:
        return [], [SettingsError(f"The folder of project files can't be read: {error}")]
    projects, errors = [], []
    for path in found:
        if not LOOKS_LIKE_SETTINGS.fullmatch(path.name):
            continue
        name = path.relative_to(folder)
        if path.parent != folder or path.suffix != ".yaml":
            errors.append(
                SettingsError(
                    f"{name} is not read: a project file lies in {folder.name}/ itself and ends in .yaml. "
                    "Rename or move it, or delete it."
                )
            )
            continue
        try:
            projects.append(load_project(path))
        except SettingsError as error:
            errors.append(error)
        except Exception as error:  # one file must never hide the others
            errors.append(SettingsError(f"{name} can't be read: {type(error).__name__}: {error}"))
    return projects, errors


_brief = Repr()
_brief.maxstring = _brief.maxother = 100


def _merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        both_nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both_nested else value
    return merged


def _explain(path: Path, error: ValidationError) -> str:
    sentences = []
    for problem in error.errors()[:MAX_SENTENCES]:
        key = ".".join(str(part) for part in problem["loc"]) or "the file"
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(_section_at(problem["loc"][:-1]).model_fields)
            sentences.append(f"{key} is not a known key; allowed: {allowed}")
        elif problem["type"] == "missing":
            sentences.append(f"{key} is missing")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            about = f"{key} is {_brief.repr(problem['input'])}; {message[0].lower()}{message[1:]}"
            sentences.append(about if problem["loc"] else message)
    more = f"; and {error.error_count() - MAX_SENTENCES} more" if error.error_count() > MAX_SENTENCES else ""
    return f"{path.name}: " + "; ".join(sentences) + f"{more}."


def _section_at(location: tuple[int | str, ...]) -> type[Section]:
    section: type[Section] = Project
    for key in location:
        section = section.model_fields[str(key)].annotation  # type: ignore[assignment]
    return section
