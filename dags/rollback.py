"""``<project>.rollback``: lets an earlier version serve again, one that has passed its smoke test.

The version is chosen by a person while the run waits, from a list of those that are known to be good, or named in the
form. The version that serves now is marked as rejected, so that no scheduled run brings it back. If the chosen one
fails its smoke test, the last good release serves again.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from dag_defaults import add_dags, dag_link, dag_options
from pipeline_steps import alerts
from pipeline_steps.choose_version import choose
from pipeline_steps.restore_version import deploy_version, switch_function, verify_version

from include.pipeline import dag_docs, releases
from include.pipeline.settings import Project


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    options = dag_options(project, "rollback", "roll back", "changes the live model")
    with DAG(
        **options,
        description=f"Make an earlier version of {project.name} live again.",
        doc_md=dag_docs.rollback(project, dag_link),
        schedule=None,
        is_paused_upon_creation=False,  # it runs on request alone
        params={
            "version": Param(
                None,
                type=["null", "string"],
                pattern=rf"^(|[1-9]\d*|{releases.PREVIOUS})$",
                examples=[releases.PREVIOUS],
                title="Version",
                description="Leave empty to choose from a list of the good versions while the run waits. Or enter "
                f"{releases.PREVIOUS}, or a version's number in the model registry.",
            ),
        },
        on_failure_callback=alerts.on_failure(project, options["dag_id"]),
    ) as dag:
        versions = choose(project)
        deployed, switched = deploy_version(project), switch_function(project)
        release = [*deployed.iter_tasks(), *switched.iter_tasks()]
        chain(*versions, deployed, switched, *verify_version(project, release))
    return dag


errors = add_dags(globals(), "rollback", build)
