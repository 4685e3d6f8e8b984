"""The CloudFormation type ``AWS::CodeBuild::Project``, which moto does not have."""

from typing import Any

from moto.codebuild.models import codebuild_backends
from moto.core.common_models import CloudFormationModel

from include.local_aws.moto_patches.stack_resource import StackResource


class CodeBuildProject(StackResource, CloudFormationModel):
    """A project of CodeBuild, which moto creates only by the API."""

    type = "AWS::CodeBuild::Project"
    name_property = "Name"

    def __init__(self, name: str, arn: str) -> None:
        self.name = name
        self.arn = arn

    @property
    def physical_resource_id(self) -> str:
        """The project's name."""
        return self.name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Return whether a template can read an attribute."""
        return attr == "Arn"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """Return the ARN, which is the only attribute."""
        return self.arn

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **members: Any
    ) -> "CodeBuildProject":
        """Create the project, or replace it."""
        properties = cloudformation_json["Properties"]
        made = codebuild_backends[account_id][region_name].create_project(
            project_name=resource_name,
            description=properties.get("Description"),
            project_source=_as_in_the_api(properties["Source"]),
            artifacts=_as_in_the_api(properties["Artifacts"]),
            environment=_as_in_the_api(properties["Environment"]),
            service_role=properties["ServiceRole"],
            tags=_as_in_the_api(properties.get("Tags", [])),
            cache=None,
            timeout=int(properties.get("TimeoutInMinutes", 60)),
            queued_timeout=None,
            source_version=None,
            logs_config=_as_in_the_api(properties.get("LogsConfig", {})),
            vpc_config=None,
        )
        return cls(resource_name, made["arn"])

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Delete the project."""
        codebuild_backends[account_id][region_name].delete_project(resource_name)

    def delete(self, account_id: str, region_name: str) -> None:
        """Delete the project."""
        codebuild_backends[account_id][region_name].delete_project(self.name)


def _as_in_the_api(value: Any) -> Any:
    """Return properties under the names of the API, which begin in lower case: ``buildspec`` for ``BuildSpec``."""
    if isinstance(value, dict):
        names = {"BuildSpec": "buildspec"}
        return {
            names.get(name, name[:1].lower() + name[1:]): _as_in_the_api(each) for name, each in value.items()
        }
    return [_as_in_the_api(each) for each in value] if isinstance(value, list) else value
