"""Links to the AWS console, stored only if the resource is in AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.links.base_aws import BaseAwsLink
    from airflow.sdk import Context


def is_aws(endpoint_url: str) -> bool:
    """Return whether a URL belongs to AWS."""
    return (urlsplit(endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def persist_console_link(link: type[BaseAwsLink], context: Context, operator: Any, **names: Any) -> None:
    """
    Store the fields of a link to the AWS console; store nothing if the operator's endpoint is not in AWS.

    :param operator: An operator with a hook for a boto3 client.
    :param names: The fields of the link's ``format_str``.
    """
    hook = operator.hook
    if is_aws(hook.conn.meta.endpoint_url):
        link.persist(
            context=context,
            operator=operator,
            region_name=hook.conn_region_name,
            aws_partition=hook.conn_partition,
            **names,
        )
