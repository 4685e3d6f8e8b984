"""Whether the candidate may go live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import TaskGroup, TriggerRule, chain, task
from airflow.sdk.exceptions import AirflowSkipException
from amazon_ml.links.s3 import EvaluationReportLink
from amazon_ml.operators.sagemaker_registry import SageMakerRegisterModelPackageOperator
from dag_defaults import aws_client
from human_input.operators import AskOperator

from include.pipeline import approval, gate, job_requests, names, registry
from include.pipeline.settings import Project
from pipeline_steps.done import Done, when_run


def decide(project: Project) -> TaskGroup:
    """Register the candidate, compare it with the live model, and ask a person where that is wanted."""

    @task(task_id="gate")
    def compare() -> dict[str, Any]:
        """Let the candidate pass only if it keeps to every rule of the project's gate."""
        done, sagemaker = Done(), aws_client("sagemaker")
        package, run_type = done["register"], done.context["dag_run"].run_type
        evaluation = gate.read_evaluation(done["evaluate"]["output"], aws_client("s3"))
        decision, evaluation = gate.decide(evaluation, project.gate), gate.without_details(evaluation)
        if stays_rejected := registry.rejected_before(run_type, package):
            decision = gate.Decision(False, stays_rejected)
        else:
            ask = done.reason_not_to_ask(project) is None
            registry.judge(package, decision, ask, sagemaker)
        done.context["ti"].xcom_push(key="decision", value=decision.reason)
        done.context["ti"].xcom_push(key="evaluation", value=evaluation)
        print(decision.reason)
        if not decision.accepted:
            raise AirflowSkipException(decision.reason)
        return evaluation

    # It runs where nobody was asked, and where the gate let nothing pass it is skipped as that was.
    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def record_approval() -> str:
        """Note who approved or rejected the candidate; a rejected one goes no further."""
        done = Done()
        answer = approval.read_answer(done["approve"], project.approval)
        if answer is None:
            return "Nobody had to be asked."
        decision = done.context["ti"].xcom_pull(task_ids="gate", key="decision")
        status = "Approved" if answer.approved else "Rejected"
        registry.decide(
            done["register"]["arn"], status, f"{answer.sentence} {decision}", aws_client("sagemaker")
        )
        done.context["ti"].xcom_push(key="answer", value=answer.sentence)
        if not answer.approved:
            raise AirflowSkipException(answer.sentence)
        return answer.sentence

    with TaskGroup(
        "decide", prefix_group_id=False, tooltip="Register, compare with the live model, ask"
    ) as group:
        register = SageMakerRegisterModelPackageOperator(
            task_id="register",
            package_group_name=names.model_package_group(project),
            key=when_run(lambda done: done.model(project)["ModelName"]),
            image_uri=when_run(lambda done: done.model(project)["PrimaryContainer"]["Image"]),
            model_url=when_run(lambda done: done.model(project)["PrimaryContainer"]["ModelDataUrl"]),
            environment=when_run(lambda done: done.model(project)["PrimaryContainer"]["Environment"]),
            content_types=job_requests.CONTENT_TYPES,
            response_types=job_requests.RESPONSE_TYPES,
            model_metrics_uri="{{ ti.xcom_pull(task_ids='evaluate')['output'] }}/evaluation.json",
            customer_metadata=when_run(
                lambda done: registry.candidate(
                    gate.read_evaluation(done["evaluate"]["output"], aws_client("s3")),
                    data=done["stage_data"],
                    code=done["package_code"]["sha256"],
                    inputs=done["check_for_changes"],
                    training_job=done.trained["name"],
                    run=done.address,
                )
            ),
            package_desc=project.description,
            package_group_desc=project.description,
            tags=names.tag_list(project),
        )
        passed = compare()
        approve = AskOperator(
            task_id="approve",
            subject=f"Shall the new model of {project.name} go live?",
            body=when_run(
                lambda done: approval.question(
                    done["gate"],
                    done.context["ti"].xcom_pull(task_ids="gate", key="decision"),
                    EvaluationReportLink().format_link(
                        **done.context["ti"].xcom_pull(task_ids="evaluate", key=EvaluationReportLink.key)
                    ),
                )
            ),
            options=[approval.APPROVE, approval.REJECT],
            defaults=approval.REJECT,
            response_timeout=timedelta(hours=project.approval.timeout_hours),
            skip=lambda context: Done(context).reason_not_to_ask(project),
        )
        approved = record_approval()
        chain(register, passed, approve, approved)
        # Else it could not tell that nobody had to be asked from that there was nothing to ask about.
        passed >> approved
    return group
