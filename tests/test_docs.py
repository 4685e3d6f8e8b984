"""What the documentation names exists: commands, files, links, keys, parameters, steps and variables."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from pydantic import BaseModel

from include.laptop.calls import calls, local_credentials
from include.laptop.stack_paths import DEFAULT_AWS_PORT
from include.pipeline.project_files import load_project
from include.pipeline.settings import Project
from tests.e2e import stops

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [
        *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        REPOSITORY / "include" / "local_aws" / "README.md",
        *REPOSITORY.glob("docs/**/*.md"),
    ]
)
README = REPOSITORY / "README.md"
OPERATING = REPOSITORY / "docs" / "operating.md"
DECISIONS = REPOSITORY / "docs" / "decisions"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKE = re.compile(r"\bmake ((?:[A-Za-z_][\w-]*(?:=\S+)?[ \t]*)+)")
SOURCES = ("dags", "plugins", "include", "requirements")
# What commands make, and what git does not know.
GENERATED = (".venv", ".local", ".env", "benchmarks/latest.json")

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)


def prose(document: Path) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", document.read_text())


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [body for named, body in FENCE.findall(document.read_text()) if named == language]


def code_spans(document: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(document))


def code(document: Path) -> Iterator[str]:
    """Everything a reader may copy: code spans and shell blocks."""
    yield from code_spans(document)
    yield from blocks(document, "sh")


def table(document: Path, header: str) -> list[list[str]]:
    """The rows of the table whose first column has this header, as their cells."""
    lines = document.read_text().partition(f"| {header} |")[2].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows, f"{document.name} has no table with the header {header}"
    return rows


def header(document: Path, first: str) -> list[str]:
    """The headers of the columns of the table whose first column has this header."""
    line = next(line for line in document.read_text().splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links(document: Path) -> list[tuple[Path, str]]:
    """Each link within the repository, as the file it leads to and the anchor there."""
    found = []
    for target in LINK.findall(prose(document)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            found.append(((document.parent / path).resolve() if path else document, anchor))
    return found


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every key of a project file, dotted, with its default."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= keys(field.annotation, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = field.get_default(call_default_factory=True, validated_data={})
    return found


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def dag_bag() -> DagBag:
    return DagBag(str(REPOSITORY / "dags"))


@every_document
def test_every_make_command_exists(document: Path) -> None:
    targets, makefile = make_targets(), (REPOSITORY / "Makefile").read_text()
    for text in code(document):
        for words in MAKE.findall(text):
            for word in words.split():
                variable, is_setting, _ = word.partition("=")
                if is_setting:
                    assert re.search(rf"^{variable}\s*\?=", makefile, re.MULTILINE), word
                else:
                    assert word in targets, f"make {word}"


def test_every_file_and_module_in_a_makefile_recipe_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    files = set(re.findall(r"\b(?:include|tests)/[\w/]+\.\w+", makefile))
    files |= {f"{module.replace('.', '/')}.py" for module in re.findall(r"-m (include\.[\w.]+)", makefile)}
    packages = {"include/laptop.py", "include/verify_aws.py"}  # with a __main__.py
    assert packages <= files
    for file in files - packages:
        assert (REPOSITORY / file).is_file(), file


def test_the_makefiles_commands_are_all_documented() -> None:
    named = {
        word
        for document in DOCUMENTS
        for text in code(document)
        for words in MAKE.findall(text)
        for word in words.split()
    }
    assert make_targets() - {"help"} <= named


@every_document
def test_every_link_leads_to_something(document: Path) -> None:
    for target, anchor in relative_links(document):
        assert target.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(target), f"{target.name} has no heading for #{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        document = waiting.pop()
        if document not in reached and document.suffix == ".md":
            reached.add(document)
            waiting += [target for target, _ in relative_links(document)]
    assert set(DOCUMENTS) <= reached


@every_document
def test_every_file_named_exists(document: Path) -> None:
    roots = {path.name for path in REPOSITORY.iterdir()} | {"docs", "tests", "benchmarks"}
    for span in code_spans(document):
        path = span.rstrip("/")
        is_path = re.fullmatch(r"[\w.-]+(/[\w.-]+)*", path) and path.split("/")[0] in roots
        is_file = re.fullmatch(r"[\w-]+\.(md|toml|txt|yaml)", path) and path != "flowers.yaml"
        if (is_path or is_file) and not path.startswith(GENERATED):
            assert (REPOSITORY / path).exists(), span


@every_document
def test_every_module_that_is_run_exists(document: Path) -> None:
    for text in code(document):
        for module in re.findall(r"-m (include\.[\w.]+)", text):
            path = REPOSITORY / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@every_document
def test_every_key_of_a_project_file_exists(document: Path) -> None:
    known = keys(Project)
    sections = {key.partition(".")[0] for key in known if "." in key}
    for span in code_spans(document):
        key = span.partition(":")[0]
        section, dot, rest = key.partition(".")
        if (
            dot
            and section in sections
            and re.fullmatch(r"\w+", rest)
            and rest not in ("html", "py", "json", "yaml")
        ):
            below = any(one.startswith(f"{key}.") for one in known)
            assert key in known or below, f"{document.name} names {span}"


@every_document
def test_every_yaml_block_is_a_project(document: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(document, "yaml")):
        name = re.search(r"^name: (\w+)$", block, re.MULTILINE)
        assert name, block
        path = tmp_path / str(number) / f"{name[1]}.yaml"
        path.parent.mkdir()
        path.write_text(block)
        assert load_project(path).name == name[1]


def test_the_documented_steps_are_those_of_the_dag(dag_bag: DagBag) -> None:
    steps = [
        step for row in table(REPOSITORY / "docs" / "pipeline-steps.md", "Step") for step in spans(row[0])
    ]
    # The project sample has AWS's serving image.
    assert sorted(steps) == sorted([*dag_bag.dags["sample.train_and_deploy"].task_ids, "serving_image"])


def test_the_calls_in_the_readme_are_those_that_the_demo_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "include.laptop.calls.getproxies", dict
    )  # else there is a line about this machine's proxy
    url = f"http://127.0.0.1:{DEFAULT_AWS_PORT}"
    scripts = [local_credentials(url), *(call.script for call in calls("sample", "live", "photo.jpg"))]
    assert [f"{script}\n" for script in scripts] == [
        block for block in blocks(README, "sh") if "AWS_ACCESS_KEY_ID" in block or "photo.jpg" in block
    ]


def test_the_parameters_are_those_of_the_dags(dag_bag: DagBag) -> None:
    documented = {(spans(name)[0], spans(dag)[0]) for name, dag, *_ in table(OPERATING, "Parameter")}
    kinds = ("train_and_deploy", "rollback", "teardown", "workspace")
    assert documented == {
        (name, f"<project>.{kind}") for kind in kinds for name in dag_bag.dags[f"sample.{kind}"].params
    }


def test_the_table_of_stops_is_the_one_that_is_tested() -> None:
    first, *when = header(OPERATING, "Action")
    assert (first, when) == ("Action", list(stops.WHEN))
    assert [row[0] for row in table(OPERATING, "Action")] == list(stops.ACTIONS)
    for proof in (proof for proofs in stops.ACTIONS.values() for proof in proofs):
        path, _, name = proof.partition("::")
        assert f"def {name}(" in (REPOSITORY / path).read_text(), proof


@every_document
def test_every_dag_named_exists(document: Path) -> None:
    kinds = {path.stem for path in (REPOSITORY / "dags").glob("*.py")} - {"project_files"}
    for span in code_spans(document):
        named = re.fullmatch(r"(?:<project>|sample|dog_breeds|flowers)\.(\w+)", span)
        if named and named[1] not in ("yaml", "data"):  # the project's file, and the asset
            assert named[1] in kinds, span


@every_document
def test_every_environment_variable_is_one_the_code_knows(document: Path) -> None:
    known = "".join(
        path.read_text()
        for folder in SOURCES
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".txt")
    )
    known += (REPOSITORY / "docker-compose.yaml").read_text() + (REPOSITORY / "Makefile").read_text()
    # What a reader sets for a command of the same page.
    known += "".join(re.findall(r"\$([A-Z_]+)", "".join(blocks(document, "sh"))))
    for span in code_spans(document):
        if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", span):
            assert span in known, span


@every_document
def test_every_shell_block_can_be_parsed(document: Path) -> None:
    for block in blocks(document, "sh"):
        parsed = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert (parsed.returncode, parsed.stderr) == (0, ""), block


@every_document
def test_python_in_shell_blocks_can_be_parsed(document: Path) -> None:
    for block in blocks(document, "sh"):
        for script in re.findall(r"<<'PY'\n(.*?)^PY$", block, re.MULTILINE | re.DOTALL):
            ast.parse(script)


@every_document
def test_nothing_points_to_an_issue_or_to_somebodys_machine(document: Path) -> None:
    text = document.read_text()
    assert not re.search(r"(?<![\w&/\]])#\d+\b|\bGH-\d+", text)
    assert not re.search(r"(?<![\w.~>])/(work|tmp|root|home|Users)/", text)


@every_document
def test_a_caller_of_a_function_url_is_told_of_both_permissions(document: Path) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html: since October 2025 AWS asks for the second, too."""
    paragraphs = [text for text in document.read_text().split("\n\n") if "lambda:InvokeFunctionUrl" in text]
    assert all("`lambda:InvokeFunction`" in text for text in paragraphs)
    if document == OPERATING:
        assert paragraphs


def test_each_decision_says_what_why_and_what_it_costs() -> None:
    pages = [page for page in DECISIONS.glob("*.md") if page.name != "README.md"]
    for page in pages:
        assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == ["What", "Why", "What it costs"], (
            page.name
        )
    listed = {target for target, _ in relative_links(DECISIONS / "README.md")}
    assert listed == {page.resolve() for page in pages}
