"""What moto's model registry lacks: deletions, and errors for what does not exist or exists already."""

from moto.core.exceptions import ServiceException
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends

from include.local_aws.config import ACCOUNT_ID, Config
from include.local_aws.errors import AwsError
from include.local_aws.moto_patches.sagemaker import last_versions
from include.local_aws.operations import Handler, leave_to_moto
from include.local_aws.sagemaker.documents import Document


class ModelPackages:
    """The operations on model packages and their groups; what only checks a request leaves it to moto."""

    def __init__(self, config: Config) -> None:
        self._region = config.region
        self.operations: dict[str, Handler] = {
            "CreateModelPackage": self._check_group_exists,
            "CreateModelPackageGroup": self._check_group_is_new,
            "DeleteModelPackage": self._delete,
            "DeleteModelPackageGroup": self._delete_group,
            "DescribeModelPackage": lambda request: self._check_exists(request["ModelPackageName"]),
            "DescribeModelPackageGroup": leave_to_moto,
            "ListModelPackageGroups": leave_to_moto,
            "ListModelPackages": leave_to_moto,
            "UpdateModelPackage": lambda request: self._check_exists(request["ModelPackageArn"]),
        }

    def check_arn(self, arn: str) -> None:
        """Check that moto has the resource of an ARN; moto fails if it is asked for the tags of another one.

        :raises AwsError: if it does not exist
        """
        try:
            known = self._backend()._get_resource_from_arn(arn) is not None
        except (AttributeError, ValueError, ServiceException):
            known = False
        if not known:
            raise AwsError(
                "ValidationException", f"Could not find the resource {arn}, or it has no tags of its own."
            )

    def _check_group_is_new(self, request: Document) -> None:
        group = self._backend().model_package_groups.get(request["ModelPackageGroupName"])
        if group is not None:
            raise AwsError("ValidationException", f"Model Package Group already exists : {group.arn}")

    def _check_group_exists(self, request: Document) -> None:
        if "ModelPackageName" in request:  # moto refuses both together
            return
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
        last_versions(backend).pop(name, None)
        return {}

    def _backend(self) -> SageMakerModelBackend:
        backend: SageMakerModelBackend = sagemaker_backends[ACCOUNT_ID][self._region]
        return backend
