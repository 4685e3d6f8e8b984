"""Links from tasks to the pages of their project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom, conf

from include.pipeline import page_urls
from include.pipeline.target import is_local

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskInstanceKey
    from airflow.sdk import BaseOperator, Context

LOCAL_AIRFLOW = "http://localhost:8080/"
"""The base URL of Airflow's own links if ``[api] base_url`` is not set."""


def airflow_url() -> str:
    """Return the URL of Airflow."""
    return str(conf.get("api", "base_url", fallback=LOCAL_AIRFLOW))


def page_url(uri: str) -> str:
    """Return the URL at which Airflow serves a page.

    :param uri: ``s3://<bucket>/<project>/<path of the page>``.
    :raises ValueError: If Airflow does not serve the object.
    """
    return page_urls.page_url(uri, airflow_url())


class AddedLink(BaseOperatorLink):
    """A link that is added to a task instead of the class of its operator."""

    @classmethod
    def add_to(cls, step: Any) -> Any:
        """Add this link to an operator or a decorated task, and return it."""
        operator = getattr(step, "operator", step)
        operator.operator_extra_links = (*operator.operator_extra_links, cls())
        return step


class PageLink(AddedLink):
    """A page that a task has written to S3, served by Airflow."""

    key: ClassVar[str]

    @classmethod
    def persist_page(cls, context: Context, uri: str | None) -> None:
        """Store the URL of a page from inside a task. Do nothing if ``uri`` is None.

        :param uri: ``s3://<bucket>/<project>/<path of the page>``.
        """
        if uri:
            context["ti"].xcom_push(key=cls.key, value=page_url(uri))

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the stored URL; an empty string shows no link."""
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""


class DataReportLink(PageLink):
    """The page that shows the contents of a data set and its problems."""

    name = "Data report"
    key = "data_report"


class EvaluationReportLink(PageLink):
    """The page that shows the quality of a model and its errors."""

    name = "Evaluation report"
    key = "evaluation_report"


class TuningReportLink(PageLink):
    """The page that shows the trials of a tuning job."""

    name = "Tuning report"
    key = "tuning_report"


class RunReportLink(PageLink):
    """The page that shows what a run did."""

    name = "Run report"
    key = "run_report"


class WorkspaceLink(AddedLink):
    """The JupyterLab of a project's workspace on local AWS. On AWS, it is opened from the console."""

    name = "Open JupyterLab"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL that opens it, which contains no token; an empty string shows no link."""
        project = ti_key.dag_id.rpartition(".")[0]
        return page_urls.workspace_url(project, airflow_url()) if is_local() else ""
