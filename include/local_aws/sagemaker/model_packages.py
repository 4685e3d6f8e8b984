"""What moto's model registry lacks: deletions, and refusals of what is missing or taken."""

from collections.abc import Callable

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
        self.checks: dict[str, Callable[[Document], None]] = {
            "CreateModelPackageGroup": self._check_group_is_new,
            "CreateModelPackage": self._check_group_exists,
            "DescribeModelPackage": lambda request: self._check_exists(request["ModelPackageName"]),
            "UpdateModelPackage": lambda request: self._check_exists(request["ModelPackageArn"]),
        }

    def _check_group_is_new(self, request: Document) -> None:
        group = self._backend().model_package_groups.get(request["ModelPackageGroupName"])
        if group is not None:
            raise AwsError("ValidationException", f"Model Package Group already exists : {group.arn}")

    def _check_group_exists(self, request: Document) -> None:
        name = request.get("ModelPackageGroupName", "").rpartition("/")[2]
        if name and name not in self._backend().model_package_groups:
            raise AwsError(
                "ValidationException", f"ModelPackageGroup {self._group_arn(name)} does not exist."
            )

    def _check_exists(self, name: str) -> None:
        backend = self._backend()
        arn = backend.model_package_name_mapping.get(name) or name
        if arn not in backend.model_packages:
            if not arn.startswith("arn:"):
                arn = f"arn:aws:sagemaker:{self._region}:{ACCOUNT_ID}:model-package/{name}"
            raise AwsError("ValidationException", f"ModelPackage {arn} does not exist.")

    def _group_arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self._region}:{ACCOUNT_ID}:model-package-group/{name}"

    def _delete(self, request: Document) -> Document:
        name = request["ModelPackageName"]
        backend = self._backend()
        self._check_exists(name)
        arn = backend.model_package_name_mapping.get(name) or name
        del backend.model_packages[arn]
        for key in [key for key, value in backend.model_package_name_mapping.items() if value == arn]:
            del backend.model_package_name_mapping[key]
        return {}

    def _delete_group(self, request: Document) -> Document:
        name = request["ModelPackageGroupName"].rpartition("/")[2]
        backend = self._backend()
        group = backend.model_package_groups.get(name)
        if group is None:
            raise AwsError(
                "ValidationException", f"ModelPackageGroup {self._group_arn(name)} does not exist."
            )
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
