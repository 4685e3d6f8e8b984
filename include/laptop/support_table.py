"""Print include/pipeline/support.json: the pipeline's container images, runtimes and AMIs with their support dates.

The container images come from the tables of the SageMaker SDK, the dates from ``support_dates.yaml``. Run it after an
upgrade of the SDK, and when AWS publishes new dates:
`.venv/bin/python -m include.laptop.support_table > include/pipeline/support.json`.
Airflow reads this file instead of importing the SDK, which takes 2 s and 180 MB, and of which no version can be
resolved together with Airflow on Python 3.12 and 3.13.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

DATES = Path(__file__).with_name("support_dates.yaml")
SCOPES = ("training", "inference")
EXAMPLES = {"cpu": "ml.m5.large", "gpu": "ml.g5.xlarge"}
"""An instance type for each kind of processor, since the SDK selects images by instance type."""


def table() -> dict[str, Any]:
    """Return the content of ``support.json``."""
    dates = yaml.safe_load(DATES.read_text(encoding="utf-8"))
    others = ("lambda_runtimes", "notebook_platforms", "pytorch_amis")
    return {
        "checked": str(dates["checked"]),
        "images_source": dates["images_source"],
        "images": {scope: [_image(scope, image) for image in dates[scope]] for scope in SCOPES},
        **{kind: {"source": dates[kind]["source"], "ends": _texts(dates[kind]["ends"])} for kind in others},
    }


def _image(scope: str, image: dict[str, Any]) -> dict[str, Any]:
    """Return one image: its repository and tags, and the registry of each region that has it."""
    from sagemaker.core import image_uris

    framework, version = image["framework"], image["version"]
    config = image_uris.config_for_framework(framework)
    regions = config.get(scope, config)["versions"][version]["registries"]

    def uri(region: str, processor: str) -> str:
        found: str = image_uris.retrieve(
            framework,
            region,
            version=version,
            # Only images before Amazon Linux 2023 have the Python version in their tags.
            py_version=f"py{image['python'].replace('.', '')}" if framework == "pytorch" else None,
            instance_type=EXAMPLES[processor],
            image_scope=scope,
        )
        return found

    (repository,) = {uri(region, "cpu").partition("/")[2].partition(":")[0] for region in regions}
    return {
        "framework": framework,
        "version": version,
        "python": image["python"],
        "patched_until": None if image["patched_until"] is None else str(image["patched_until"]),
        "past": image.get("past", False),
        "repository": repository,
        "tags": {processor: uri("us-east-1", processor).rpartition(":")[2] for processor in EXAMPLES},
        "registries": {region: uri(region, "cpu").partition("/")[0] for region in regions},
    }


def _texts(ends: dict[str, Any]) -> dict[str, str | None]:
    return {name: None if end is None else str(end) for name, end in ends.items()}


if __name__ == "__main__":
    print(json.dumps(table(), indent=1))
