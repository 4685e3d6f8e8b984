"""The reference page and the JSON Schema of project files match the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from include.laptop.settings_docs import SCHEMA, docstrings, files, with_links
from include.pipeline.project_files import PROJECTS_FOLDER
from include.pipeline.settings import Section

WHOLE = {"name": "birds", "description": "Tells birds apart."}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_generated_files_are_up_to_date() -> None:
    for path, text in files().items():
        assert path.read_text() == text, "Run: .venv/bin/python -m include.laptop.settings_docs"


@pytest.mark.parametrize("path", sorted(PROJECTS_FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_each_project_file_references_the_schema_and_is_valid(
    path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    first, _, _ = path.read_text().partition("\n")
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == SCHEMA
    validator.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"trainning": {}},
        {"data": {"clases": 3}},
        {"gate": {"floor": 1.5}},
        {"tuning": {"strategy": "Grid"}},
        {"local": {"name": "fish"}},
        {"local": {"endpoint": {"instance": "ml.m5.large"}}},
        {"name": "Two Birds"},
    ],
    ids=json.dumps,
)
def test_schema_rejects_what_the_settings_reject(
    change: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate({**WHOLE, "local": {"tuning": {"max_jobs": 1}}})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**WHOLE, **change})


def test_each_key_has_a_description(validator: jsonschema.Draft202012Validator) -> None:
    def check(schema: dict[str, Any]) -> None:
        for name, key in schema.get("properties", {}).items():
            assert key["description"].endswith("."), name
            check(key)

    check(validator.schema)


def test_key_without_a_docstring_is_an_error() -> None:
    class Birds(Section):
        wings: int = 2

    with pytest.raises(ValueError, match="Birds has keys without a docstring: wings"):
        docstrings(Birds)


def test_references_to_pages_become_links() -> None:
    text = "See docs/operating.md#alarms. See docs/decisions/warm-pools.md."
    assert with_links(text) == "See [alarms](operating.md#alarms). See [warm pools](decisions/warm-pools.md)."
