"""Lifecycle configurations of notebook instances: the scripts that run when one is created or started."""

import base64
import binascii

from include.local_aws.errors import AwsError
from include.local_aws.operations import Handler
from include.local_aws.sagemaker.documents import (
    LIFECYCLE_CONFIG,
    NOTEBOOK_INSTANCE,
    Document,
    Documents,
)

HOOKS = ("OnCreate", "OnStart")


class LifecycleConfigs:
    """All lifecycle configurations of this server."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.operations: dict[str, Handler] = {
            "CreateNotebookInstanceLifecycleConfig": self._create,
            "UpdateNotebookInstanceLifecycleConfig": self._update,
            "DeleteNotebookInstanceLifecycleConfig": self._delete,
        }

    def _create(self, request: Document) -> Document:
        scripts(request)
        config = self._documents.create(LIFECYCLE_CONFIG, request)
        return {LIFECYCLE_CONFIG.arn_member: config[LIFECYCLE_CONFIG.arn_member]}

    def _update(self, request: Document) -> Document:
        scripts(request)
        missing = LIFECYCLE_CONFIG.missing.replace("describe", "update")
        config = self._documents.get(LIFECYCLE_CONFIG, request[LIFECYCLE_CONFIG.name_member], missing)
        self._documents.update(config, **{hook: request[hook] for hook in HOOKS if hook in request})
        return {}

    def _delete(self, request: Document) -> Document:
        name = request[LIFECYCLE_CONFIG.name_member]
        missing = LIFECYCLE_CONFIG.missing.replace("describe", "delete")
        config = self._documents.get(LIFECYCLE_CONFIG, name, missing)
        for instance in self._documents.all(NOTEBOOK_INSTANCE):
            if instance.get(LIFECYCLE_CONFIG.name_member) == name:
                raise AwsError(
                    "ValidationException",
                    "Unable to delete Notebook Instance Lifecycle Config "
                    f"'{config[LIFECYCLE_CONFIG.arn_member]}'. (Details: it is used by "
                    f"'{instance[NOTEBOOK_INSTANCE.arn_member]}'.)",
                )
        self._documents.delete(LIFECYCLE_CONFIG, name)
        return {}


def scripts(config: Document) -> dict[str, str]:
    """Return the scripts of a configuration by their hook, ``OnCreate`` and ``OnStart``.

    :raises AwsError: when one is not text in base64
    """
    found = {}
    for hook in HOOKS:
        for script in config.get(hook) or []:
            try:
                found[hook] = base64.b64decode(script.get("Content", ""), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise AwsError(
                    "ValidationException", f"The content of {hook} is no base64-encoded shell script: {error}"
                ) from error
    return found
