"""The links from a task to a page that it put to S3."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink
from airflow.sdk import Context

from amazon_ml.links.hosts import is_aws


class S3PageLink(BaseAwsLink):
    """An object in the AWS console; where S3 is another one than AWS's, the object itself."""

    format_str = BASE_AWS_CONSOLE_LINK + "/s3/object/{bucket_name}?region={region_name}&prefix={object_key}"

    def format_link(self, **kwargs: Any) -> str:
        """Quote the key as the address needs it."""
        if "object_key" not in kwargs:
            return ""
        kwargs["object_key"] = quote(kwargs["object_key"])
        if kwargs.get("endpoint_url"):
            return "{endpoint_url}/{bucket_name}/{object_key}".format(**kwargs)
        return super().format_link(**kwargs)

    @classmethod
    def add_to(cls, step: Any) -> Any:
        """Give an operator or a decorated task this link, besides those it has; return it."""
        operator = getattr(step, "operator", step)
        operator.operator_extra_links = (*operator.operator_extra_links, cls())
        return step

    @classmethod
    def persist_page(cls, context: Context, uri: str | None, s3: Any) -> None:
        """Keep the address, from inside a decorated task; without one, do nothing.

        :param uri: ``s3://<bucket>/<key>``.
        :param s3: the boto3 client that put it.
        """
        if uri:
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            endpoint = s3.meta.endpoint_url
            cls.persist(
                context=context,
                operator=context["task"],
                region_name=s3.meta.region_name,
                aws_partition=s3.meta.partition,
                bucket_name=bucket,
                object_key=key,
                endpoint_url=None if is_aws(endpoint) else endpoint,
            )


class DataReportLink(S3PageLink):
    """The page that shows what a data set holds and what is wrong with it."""

    name = "Data report"
    key = "data_report"


class EvaluationReportLink(S3PageLink):
    """The page that shows how good a model is, and where it errs."""

    name = "Evaluation report"
    key = "evaluation_report"


class RunReportLink(S3PageLink):
    """The page that shows what a run did."""

    name = "Run report"
    key = "run_report"
