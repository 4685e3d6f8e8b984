"""Generate the documentation of project files from the settings: the reference page and the JSON Schema for editors.

``python -m include.laptop.settings_docs`` writes both; a test compares them with the settings.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pydantic_core import PydanticUndefined

from include.laptop.stack_paths import REPOSITORY
from include.pipeline.settings import Project, Section

PAGE = REPOSITORY / "docs" / "project-file.md"
SCHEMA = REPOSITORY / "include" / "pipeline" / "project_file_schema.json"

PAGE_HEAD = """# Keys of a project file

`python -m include.laptop.settings_docs` writes this page from `include/pipeline/settings.py`.
A file needs `name` and `description`; [Adding a project](adding-a-project.md) has examples.
The section `local` holds keys that replace others on local AWS, except `name`. It is checked on AWS as well.
"""
PLAIN_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "string": "text",
    "array": "a list",
    "object": "keys and values",
}


@dataclass(frozen=True)
class Key:
    """One key of a project file.

    :param name: The dotted name, such as ``data.source``.
    :param schema: The part of the JSON Schema; None for a nested section.
    :param default: The default; undefined if the key is required.
    """

    name: str
    description: str
    schema: dict[str, Any] | None
    default: Any = PydanticUndefined


def keys(section: type[Section], prefix: str = "") -> Iterator[Key]:
    """Yield the keys of a section and of its nested sections, in order."""
    described, schemas = docstrings(section), section.model_json_schema()["properties"]
    for name, field in section.model_fields.items():
        if is_section(field.annotation):
            if prefix:
                yield Key(prefix + name, in_markdown(field.annotation.__doc__ or ""), None)
            yield from keys(field.annotation, f"{prefix}{name}.")
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        yield Key(prefix + name, described[name], schemas[name], default)


def is_section(annotation: Any) -> TypeGuard[type[Section]]:
    """Return whether the value of a key is a nested section."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def docstrings(section: type[Section]) -> dict[str, str]:
    """Return the description of each key of a section, in Markdown.

    Pydantic can read attribute docstrings, but only when the class is created, that is, for each DAG file.

    :raises ValueError: If a key has no docstring.
    """
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[field.target.id] = in_markdown(str(after.value.value))
    keys_without = [
        name
        for name, field in section.model_fields.items()
        if name not in found and not is_section(field.annotation)
    ]
    if keys_without:
        raise ValueError(f"{section.__name__} has keys without a docstring: {', '.join(keys_without)}")
    return found


def in_markdown(docstring: str) -> str:
    """Return a docstring as one line of Markdown."""
    return " ".join(docstring.split()).replace("``", "`")


def with_links(text: str) -> str:
    """Return a description in which references to pages of ``docs/`` are links."""
    return re.sub(
        r"docs/((?:decisions/)?[\w-]+)\.md(#[\w-]+[\w])?",
        lambda found: (
            f"[{(found[2] or found[1]).lstrip('#').rpartition('/')[2].replace('-', ' ')}]"
            f"({found[1]}.md{found[2] or ''})"
        ),
        text,
    )


def allowed(schema: dict[str, Any]) -> str:
    """Return a text about the values that the JSON Schema of a key allows."""
    if "anyOf" in schema:
        return " or ".join(
            "`null`" if option.get("type") == "null" else allowed(option) for option in schema["anyOf"]
        )
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "maxLength" in schema:
        return f"text of at most {schema['maxLength']:,} characters"
    limits = [
        f"{words} {schema[limit]:,}"
        for words, limit in (
            ("at least", "minimum"),
            ("more than", "exclusiveMinimum"),
            ("at most", "maximum"),
            ("less than", "exclusiveMaximum"),
        )
        if limit in schema
    ]
    if "minimum" in schema and "maximum" in schema:
        limits = [f"{schema['minimum']:,} to {schema['maximum']:,}"]
    return ", ".join(limits) or PLAIN_TYPES[schema["type"]]


def page() -> str:
    """Return the reference page."""
    lines, section = [PAGE_HEAD.rstrip()], None
    # Keys without a section come first.
    for key in sorted(keys(Project), key=lambda key: "." in key.name):
        first = key.name.partition(".")[0] if "." in key.name else ""
        if first != section:
            section = first
            lines += heading(section)
        default = "" if key.default is PydanticUndefined else f"`{as_yaml(key.default)}`"
        cells = (
            f"`{key.name}`",
            default,
            allowed(key.schema) if key.schema else "",
            with_links(key.description),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def heading(section: str) -> list[str]:
    """Return the lines above the keys of a section."""
    title = f"## `{section}`" if section else "## The project"
    about: Any = Project.model_fields[section].annotation if section else None
    text = [with_links(in_markdown(about.__doc__)), ""] if about else []
    return ["", title, "", *text, "| Key | Default | Allowed | Means |", "|---|---|---|---|"]


def as_yaml(value: Any) -> str:
    """Return a default in the notation of a project file."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value) if isinstance(value, tuple) else value)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a project file, whose section ``local`` may contain all other keys except the name."""
    found = describe(Project)
    local = {**found, "required": [], "properties": dict(found["properties"])}
    del local["properties"]["name"]
    local["description"] = "Keys that replace others on local AWS."
    found["properties"] = {**found["properties"], "local": local}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Project file", **found}


def describe(section: type[Section]) -> dict[str, Any]:
    """Return the JSON Schema of a section, with the descriptions of its keys."""
    described, plain = docstrings(section), section.model_json_schema()
    properties = {}
    for name, field in section.model_fields.items():
        if is_section(field.annotation):
            properties[name] = describe(field.annotation)
        else:
            properties[name] = {**plain["properties"][name], "description": described[name]}
            properties[name].pop("title", None)
    return {
        "type": "object",
        "description": in_markdown(section.__doc__ or ""),
        "additionalProperties": False,
        "required": plain.get("required", []),
        "properties": properties,
    }


def files() -> dict[Path, str]:
    """Return the content of each generated file."""
    return {PAGE: page(), SCHEMA: json.dumps(schema(), indent=2) + "\n"}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(f"Wrote {path.relative_to(REPOSITORY)}")
