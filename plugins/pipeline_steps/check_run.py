"""Check whether the run is possible, and estimate its cost."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.timezone import utcnow
from dag_defaults import aws_client, check_conf
from run_results import as_json
from verdicts import record

from include.pipeline import (
    clock,
    concurrency_quota,
    cost,
    ec2_requests,
    infrastructure,
    job_requests,
    quotas,
    support,
)
from include.pipeline.results import CostEstimate
from include.pipeline.settings import OWN_IMAGE, Project
from pipeline_steps.results import PipelineResults


def check_run(project: Project) -> list[Any]:
    """Check the run before it incurs costs; return the steps in order."""

    @task
    @as_json
    def preflight() -> job_requests.Environment:
        """Check conf, clock, credentials, stack, quotas and what AWS patches; look up the container images."""
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
        if project.endpoint.image == OWN_IMAGE:
            found.check_serving_image()
        environment = job_requests.Environment(
            **found.model_dump(),
            region=region,
            account=account,
            images=container_images(project, region),
        )
        used = job_requests.patched(environment.images, params["train_on"])
        if warnings := support.check(used, utcnow().date(), project.allow_unpatched):
            record(context, *warnings)
        concurrency_quota.check(project, aws_client("lambda"))
        quotas.check(project, params["train_on"], params["instance_count"], aws_client("service-quotas"))
        if params["train_on"] == "ec2":
            ec2_requests.check_profile(environment)
        return environment

    @task
    @as_json
    def estimate_cost() -> CostEstimate:
        """Estimate the cost of the run and of the resources that it leaves running; end the run if it is too high."""
        results = PipelineResults()
        estimated = cost.estimate(
            project,
            results.context["params"]["instance_count"],
            results.environment.region,
            aws_client("sagemaker"),
            results.ec2_records(project),
        )
        limit = results.context["params"]["max_cost_usd"]
        record(results.context, cost.verdict(estimated, limit), *cost.show(estimated).splitlines())
        cost.check_limit(estimated, limit)
        return estimated

    return [preflight(), estimate_cost()]
