"""The base class of the CloudFormation types that moto does not have."""

from typing import Any, ClassVar


class StackResource:
    """A resource of a stack. An update creates it again.

    Combine it with `CloudFormationModel`: moto knows the direct subclasses of that class.

    :cvar type: the type of the resource in templates
    :cvar name_property: the property that names it, if any
    """

    type: ClassVar[str]
    name_property: ClassVar[str] = ""

    @classmethod
    def cloudformation_name_type(cls) -> str:
        """Return the property that names the resource."""
        return cls.name_property

    @classmethod
    def cloudformation_type(cls) -> str:
        """Return the type of the resource."""
        return cls.type

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Any:
        """Create the resource again."""
        model: Any = cls
        return model.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )
