"""Whether the run can be done, and what it costs."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context, task
from dag_defaults import aws_client, check_conf
from verdicts import record

from include.pipeline import (
    clock,
    concurrency_quota,
    cost,
    ec2_requests,
    infrastructure,
    job_requests,
    quotas,
)
from include.pipeline.settings import Project
from pipeline_steps.done import Done


def start(project: Project) -> list[Any]:
    """Look before anything is done that costs; returns the steps in their order."""

    @task
    def preflight() -> dict[str, Any]:
        """Check conf, clock, credentials, stack and quotas; look up the container images."""
        from include.pipeline.images import container_images

        context = get_current_context()
        check_conf(context)
        params = context["params"]
        project.check_place(params["train_on"], params["instance_count"])
        sts = aws_client("sts")
        region = sts.meta.region_name
        account = clock.ask(sts.get_caller_identity)["Account"]
        found = infrastructure.read_infrastructure(aws_client("cloudformation"))
        found.check_version()
        environment = job_requests.Environment(
            **found.model_dump(),
            region=region,
            account=account,
            images=container_images(project, region),
        )
        concurrency_quota.check(project, aws_client("lambda"))
        quotas.check(project, params["train_on"], params["instance_count"], aws_client("service-quotas"))
        if params["train_on"] == "ec2":
            ec2_requests.check_profile(environment)
        return environment.model_dump()

    @task
    def estimate_cost() -> dict[str, Any]:
        """Tell what the run may cost, and what it leaves running; end it where that is too much."""
        done = Done()
        estimated = cost.estimate(
            project,
            done.context["params"]["instance_count"],
            done.environment.region,
            aws_client("sagemaker"),
            done.ec2_records(project),
        )
        limit = done.context["params"]["max_cost_usd"]
        record(done.context, cost.verdict(estimated, limit), *cost.show(estimated).splitlines())
        cost.check_limit(estimated, limit)
        return estimated

    return [preflight(), estimate_cost()]
