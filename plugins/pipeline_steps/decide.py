"""Whether the candidate may go live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Context, TaskGroup, TriggerRule, chain, task
from amazon_ml.operators.sagemaker_registry import SageMakerRegisterModelPackageOperator
from dag_defaults import aws_client, task_group
from human_input.operators import AskOperator
from project_pages.links import EvaluationReportLink
from verdicts import record

from include.pipeline import approval, aws_texts, evaluation_report, gate, job_requests, names, registry
from include.pipeline.errors import PermanentError
from include.pipeline.settings import Project
from pipeline_steps import alerts
from pipeline_steps.done import Done, when_run


def decide(project: Project) -> TaskGroup:
    """Register the candidate, compare it with the live model, and ask a person where that is wanted."""

    @task(task_id="gate")
    def compare() -> dict[str, Any]:
        """Accept the candidate only if it keeps to every rule of the project's gate."""
        done, sagemaker = Done(), aws_client("sagemaker")
        package, run_type = done["register"], done.context["dag_run"].run_type
        evaluation = gate.read_evaluation(done["evaluate"]["output"], aws_client("s3"))
        rules = project.gate.model_copy(update={key: done.context["params"][key] for key in gate.ALLOWANCES})
        serving, ask = done.read_live(project), done.reason_not_to_ask(project) is None
        is_live = serving is not None and serving["model"] == done.model(project)["ModelName"]
        decision = gate.decide(evaluation, rules, asked=ask, is_live=is_live)
        stays_rejected = registry.rejected_before(run_type, package)
        if stays_rejected:
            decision = gate.Decision(False, stays_rejected)
        record(done.context, f"{'Accepted' if decision.accepted else 'Rejected'}. {decision.reason}")
        page = done.pushed("evaluate", EvaluationReportLink.key)
        done.context["ti"].xcom_push(key=EvaluationReportLink.key, value=page)
        if not stays_rejected:
            registry.judge(package, decision, ask, sagemaker)
        evaluation_report.update(
            project,
            done.context["run_id"],
            done.environment.bucket,
            aws_client("s3"),
            version=package["version"],
            accepted=decision.accepted,
            verdict=decision.reason,
        )
        return {
            "accepted": decision.accepted,
            "reason": decision.reason,
            "is_live": is_live,
            "evaluation": gate.without_details(evaluation),
            "candidate": approval.candidate(done.model(project)["ModelName"], package, evaluation),
        }

    def reason_not_to_ask(context: Context) -> str | None:
        """Why the task ``approve`` is skipped, or None if it asks."""
        done = Done(context)
        if not done["gate"]["accepted"]:
            return f"The gate has rejected the candidate. {done['gate']['reason']}"
        return done.reason_not_to_ask(project)

    # The tasks of the release are skipped if it returns nothing. It is skipped itself if there is no candidate.
    @task.short_circuit(
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, ignore_downstream_trigger_rules=False
    )
    def record_approval() -> dict[str, Any] | None:
        """Note who approved or rejected the candidate; a rejected one goes no further."""
        done = Done()
        judged = done["gate"]
        if not judged["accepted"]:
            record(
                done.context,
                f"No approval is needed: the gate has rejected the candidate. {judged['reason']}",
            )
            return None
        answer = approval.read_answer(done["approve"], judged["candidate"], project.approval)
        if answer is None:
            # What was live when the question was skipped may not be live any more.
            if (reason := done.reason_not_to_ask(project)) is None:
                raise PermanentError(
                    "A person's approval is needed, and nobody was asked. Clear the task approve."
                )
            if not done.context["params"]["require_approval"]:
                record(done.context, reason)
                return judged["candidate"]
            # A person has requested it, so the run's report and the model package say why it was not asked for.
            answer = approval.Answer(True, f"Approval was requested, but nobody was asked. {reason}")
        record(done.context, answer.sentence)
        status = "Approved" if answer.approved else "Rejected"
        registry.decide(
            done["register"]["arn"], status, f"{answer.sentence} {judged['reason']}", aws_client("sagemaker")
        )
        done.context["ti"].xcom_push(key="answer", value=answer.sentence)
        return judged["candidate"] if answer.approved else None

    with task_group(
        "decide",
        "Review",
        "Register the candidate, compare it with the live model, and ask a person where required",
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
            model_metrics_uri=when_run(lambda done: f"{done['evaluate']['output']}/evaluation.json"),
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
            package_desc=aws_texts.description(project.description),
            package_group_desc=aws_texts.description(project.description),
            tags=names.tag_list(project),
        )
        passed = EvaluationReportLink.add_to(compare())
        approve = AskOperator(
            task_id="approve",
            subject=f"Deploy the new model of {project.name}?",
            body=when_run(
                lambda done: approval.question(
                    done["gate"]["evaluation"],
                    done["gate"]["reason"],
                    done["gate"]["candidate"],
                    done.pushed("evaluate", EvaluationReportLink.key),
                )
            ),
            about=lambda context: Done(context)["gate"]["candidate"],
            options=[approval.APPROVE, approval.REJECT],
            defaults=approval.REJECT,
            response_timeout=timedelta(hours=project.approval.timeout_hours),
            skip=reason_not_to_ask,
            notifiers=alerts.on_question(project),
        )
        approved = record_approval()
        chain(register, passed, approve, approved)
        # Else it could not tell that nobody had to be asked from that there was nothing to ask about.
        passed >> approved
    return group
