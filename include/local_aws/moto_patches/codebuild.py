"""CodeBuild: a build creates an image from its source and pushes it, which moto's builds do not.

No buildspec is run. :mod:`include.local_aws.serving_images` creates the image. It is pushed to the repository that the
project's variable ``REPOSITORY`` names, with the tags of the stack's buildspec.
"""

import json
import logging
import threading
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.codebuild.exceptions import InvalidInputException
from moto.codebuild.models import CodeBuildBackend
from moto.codebuild.responses import CodeBuildResponse
from moto.core.responses import ActionResult
from moto.ecr.models import ECRBackend, Repository, ecr_backends

from include.local_aws import serving_images
from include.local_aws.config import Config
from include.local_aws.moto_patches import original, replace

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

_IMPLEMENTED = {"projectName"}
_log = logging.getLogger(__name__)
_start_by_moto = original(CodeBuildBackend, "start_build")
_respond_by_moto = original(CodeBuildResponse, "start_build")


def apply(config: Config) -> None:
    """Replace the methods."""

    def start_build(backend: CodeBuildBackend, project_name: str, *members: Any) -> dict[str, Any]:
        build = _start_by_moto(backend, project_name, *members)
        build["buildNumber"] = len(backend.build_metadata_history[project_name])
        project = backend.codebuild_projects[project_name].project_metadata
        build["source"] = project["source"]
        threading.Thread(target=_build, args=(config, project, build), daemon=True).start()
        return build

    replace(CodeBuildResponse, "start_build", _start_build)
    replace(CodeBuildBackend, "start_build", start_build)
    replace(CodeBuildBackend, "batch_get_builds", _batch_get_builds)
    replace(Repository, "delete", _delete_repository)


def _build(config: Config, project: dict[str, Any], build: dict[str, Any]) -> None:
    variables = {
        each["name"]: each["value"] for each in project["environment"].get("environmentVariables", [])
    }
    phase, message = "DOWNLOAD_SOURCE", None
    try:
        bucket, _, key = project["source"]["location"].partition("/")
        source = config.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        phase = "BUILD"
        digest, content = serving_images.build(config, source)
        day = datetime.now(UTC).strftime("%Y%m%d")
        for tag in (f"build-{day}-{build['buildNumber']}", f"content-{content}"):
            _push(config, variables["REPOSITORY"].partition("/")[2], digest, tag)
    except (serving_images.BuildError, BotoCoreError, ClientError, KeyError, OSError) as error:
        message = f"{type(error).__name__}: {error}"
    except Exception as error:
        _log.exception("The build %s failed", build["id"])
        message = f"{type(error).__name__}: {error}"
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    status = "FAILED" if message else "SUCCEEDED"
    contexts = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": message}] if message else []
    done = {"phaseType": phase, "phaseStatus": status, "startTime": build["startTime"], "endTime": now}
    build["phases"] = [*build["phases"], {**done, "contexts": contexts}]
    build |= {"endTime": now, "currentPhase": "COMPLETED", "buildComplete": True, "buildStatus": status}


def _push(config: Config, repository: str, digest: str, tag: str) -> None:
    ecr = config.client("ecr")
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"digest": digest, "size": 0},
        "layers": [{"digest": digest, "size": 0}],
    }
    try:
        ecr.put_image(
            repositoryName=repository,
            imageManifest=json.dumps(manifest, sort_keys=True),
            imageTag=tag,
            imageDigest=digest,
        )
    except ecr.exceptions.ImageAlreadyExistsException:
        return  # the same image under the same tag


def _start_build(response: CodeBuildResponse) -> ActionResult:
    """Refuse the members that override the project."""
    unknown = sorted(json.loads(response.body).keys() - _IMPLEMENTED)
    if unknown:
        raise InvalidInputException(f"Local AWS does not implement {', '.join(unknown)} of StartBuild.")
    return _respond_by_moto(response)


def _batch_get_builds(backend: CodeBuildBackend, ids: list[str]) -> list[dict[str, Any]]:
    """Return builds as they are; moto completes each build that is described."""
    return [
        build for builds in backend.build_metadata_history.values() for build in builds if build["id"] in ids
    ]


def _delete_repository(repository: Repository, account_id: str, region_name: str) -> None:
    """Delete the repository of a stack with its images, as ``EmptyOnDelete`` requests; moto ignores this property."""
    backend: ECRBackend = ecr_backends[account_id][region_name]
    backend.delete_repository(repository.name, force=True)
