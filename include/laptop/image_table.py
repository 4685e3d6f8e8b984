"""Print include/pipeline/images.json: the repositories of the container images, from the tables of the SageMaker SDK.

Run it after an upgrade of the SDK:
`.venv/bin/python -m include.laptop.image_table > include/pipeline/images.json`.
Airflow reads the file in place of the SDK, which takes 2 s and 180 MB to import, and which no resolver finds a version
of beside Airflow on Python 3.12 and 3.13.
"""

from __future__ import annotations

import json

from include.pipeline.images import PYTHON, PYTORCH

FRAMEWORK = "pytorch"
SCOPES = ("training", "inference")


def table() -> dict[str, dict[str, str]]:
    """Return for each kind of image the URI of its repository, by region."""
    from sagemaker.core import image_uris

    def repository(scope: str, region: str) -> str:
        uri: str = image_uris.retrieve(
            FRAMEWORK,
            region,
            version=PYTORCH,
            py_version=PYTHON,
            instance_type="ml.m5.large",
            image_scope=scope,
        )
        return uri.rpartition(":")[0]

    return {
        scope: {
            region: repository(scope, region)
            for region in image_uris.config_for_framework(FRAMEWORK)[scope]["versions"][PYTORCH]["registries"]
        }
        for scope in SCOPES
    }


if __name__ == "__main__":
    print(json.dumps(table(), indent=1))
