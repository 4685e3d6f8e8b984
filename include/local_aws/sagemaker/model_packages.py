"""Deletion of model packages and their groups, which moto keeps but cannot delete."""

from moto.sagemaker.models import ModelPackage, SageMakerModelBackend, sagemaker_backends

from include.local_aws.config import ACCOUNT_ID, Config
from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document, Operation

_initialise_by_moto = ModelPackage.__init__


class ModelPackages:
    """The operations that delete; a version's number is not given again, as moto would do."""

    def __init__(self, config: Config) -> None:
        self._region = config.region
        number_versions_as_aws_does()
        self.operations: dict[str, Operation] = {
            "DeleteModelPackage": self._delete,
            "DeleteModelPackageGroup": self._delete_group,
        }

    def _delete(self, request: Document) -> Document:
        name = request["ModelPackageName"]
        backend = self._backend()
        arn = backend.model_package_name_mapping.get(name) or name
        package = backend.model_packages.pop(arn, None)
        if package is None:
            raise AwsError("ValidationException", f"Model package {name} not found")
        for key in [key for key, value in backend.model_package_name_mapping.items() if value == arn]:
            del backend.model_package_name_mapping[key]
        return {}

    def _delete_group(self, request: Document) -> Document:
        name = request["ModelPackageGroupName"].rpartition("/")[2]
        backend = self._backend()
        group = backend.model_package_groups.get(name)
        if group is None:
            arn = f"arn:aws:sagemaker:{self._region}:{ACCOUNT_ID}:model-package-group/{name}"
            raise AwsError("ValidationException", f"ModelPackageGroup {arn} does not exist.")
        held = sum(package.model_package_group_name == name for package in backend.model_packages.values())
        if held:
            raise AwsError(
                "ConflictException",
                f"Model package group {group.arn} still has {held} model packages; delete them first.",
            )
        del backend.model_package_groups[name]
        _last_versions(backend).pop(name, None)
        return {}

    def _backend(self) -> SageMakerModelBackend:
        backend: SageMakerModelBackend = sagemaker_backends[ACCOUNT_ID][self._region]
        return backend


def number_versions_as_aws_does() -> None:
    """Have moto count on from the highest version of a group: it counts those that exist."""
    ModelPackage.__init__ = _initialise  # type: ignore[method-assign, assignment]


def _initialise(package: ModelPackage, **members: object) -> None:
    group = members["model_package_group_name"]
    if group is not None:
        backend = sagemaker_backends[str(members["account_id"])][str(members["region_name"])]
        versions = _last_versions(backend)
        members["model_package_version"] = versions[str(group)] = versions.get(str(group), 0) + 1
    _initialise_by_moto(package, **members)  # type: ignore[arg-type]


def _last_versions(backend: SageMakerModelBackend) -> dict[str, int]:
    last: dict[str, int] = backend.__dict__.setdefault("last_model_package_versions", {})
    return last
