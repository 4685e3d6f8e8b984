"""Decide whether the candidate may go live."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Context, TaskGroup, TriggerRule, chain, task
from amazon_ml.operators.sagemaker_registry import SageMakerRegisterModelPackageOperator
from dag_defaults import aws_client, task_group
from human_input.operators import AskOperator
from project_pages.links import EvaluationReportLink
from run_results import as_json, to_json
from verdicts import record

from include.pipeline import approval, aws_texts, evaluation_report, gate, job_requests, names, registry
from include.pipeline.errors import PermanentError
from include.pipeline.results import Candidate, GateDecision
from include.pipeline.settings import Project
from pipeline_steps import alerts
from pipeline_steps.results import PipelineResults, from_results


def review(project: Project) -> TaskGroup:
    """Register the candidate, compare it with the live model, and request an approval if required."""

    @task(task_id="gate")
    @as_json
    def compare() -> GateDecision:
        """Accept the candidate only if it meets every rule of the project's gate."""
        results, sagemaker = PipelineResults(), aws_client("sagemaker")
        package, run_type = results.register, results.context["dag_run"].run_type
        evaluation = gate.read_evaluation(results.evaluate.output, aws_client("s3"))
        rules = project.gate.model_copy(
            update={key: results.context["params"][key] for key in gate.ALLOWANCES}
        )
        is_live, ask = results.is_live(project), results.reason_not_to_ask(project) is None
        decision = gate.decide(evaluation, rules, asked=ask, is_live=is_live)
        stays_rejected = registry.rejected_before(run_type, package)
        if stays_rejected:
            decision = gate.Decision(False, stays_rejected)
        record(results.context, f"{'Accepted' if decision.accepted else 'Rejected'}. {decision.reason}")
        page = results.pushed("evaluate", EvaluationReportLink.key)
        results.context["ti"].xcom_push(key=EvaluationReportLink.key, value=page)
        if not stays_rejected:
            registry.judge(package, decision, ask, sagemaker)
        evaluation_report.update(
            project,
            results.context["run_id"],
            results.environment.bucket,
            aws_client("s3"),
            version=package.version,
            accepted=decision.accepted,
            verdict=decision.reason,
        )
        return GateDecision(
            accepted=decision.accepted,
            reason=decision.reason,
            is_live=is_live,
            evaluation=evaluation.without_details(),
            candidate=approval.candidate(results.model_name(project), package, evaluation),
        )

    def reason_not_to_ask(context: Context) -> str | None:
        """Return why the task ``approve`` is skipped, or None if it asks."""
        results = PipelineResults(context)
        if not results.gate.accepted:
            return f"The gate has rejected the candidate. {results.gate.reason}"
        return results.reason_not_to_ask(project)

    # If it returns nothing, the tasks of the release are skipped. It is skipped itself if there is no candidate.
    @task.short_circuit(
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, ignore_downstream_trigger_rules=False
    )
    @as_json
    def record_approval() -> Candidate | None:
        """Record who approved or rejected the candidate; a rejected one is not released."""
        results = PipelineResults()
        judged = results.gate
        candidate = judged.candidate
        if not judged.accepted:
            record(
                results.context,
                f"No approval is needed: the gate has rejected the candidate. {judged.reason}",
            )
            return None
        answer = approval.read_answer(results.approve, candidate, project.approval)
        if answer is None:
            # The model that was live when the question was skipped may no longer be live.
            if (reason := results.reason_not_to_ask(project)) is None:
                raise PermanentError(
                    "A person's approval is needed, and nobody was asked. Clear the task approve."
                )
            if not results.context["params"]["require_approval"]:
                record(results.context, reason)
                return candidate
            # A user has requested an approval, so the report and the model package explain why there was none.
            answer = approval.Answer(True, f"Approval was requested, but nobody was asked. {reason}")
        record(results.context, answer.sentence)
        status = "Approved" if answer.approved else "Rejected"
        registry.set_approval(
            results.register.arn,
            status,
            f"{answer.sentence} {judged.reason}",
            aws_client("sagemaker"),
        )
        results.context["ti"].xcom_push(key="answer", value=answer.sentence)
        return candidate if answer.approved else None

    with task_group(
        "review",
        "Review",
        "Register the candidate, compare it with the live model, and ask a person where required",
    ) as group:
        register = SageMakerRegisterModelPackageOperator(
            task_id="register",
            package_group_name=names.model_package_group(project),
            key=from_results(lambda results: results.model_name(project)),
            image_uri=from_results(lambda results: results.model(project)["PrimaryContainer"]["Image"]),
            model_url=from_results(
                lambda results: results.model(project)["PrimaryContainer"]["ModelDataUrl"]
            ),
            environment=from_results(
                lambda results: results.model(project)["PrimaryContainer"]["Environment"]
            ),
            content_types=job_requests.CONTENT_TYPES,
            response_types=job_requests.RESPONSE_TYPES,
            model_metrics_uri=from_results(lambda results: f"{results.evaluate.output}/evaluation.json"),
            customer_metadata=from_results(
                lambda results: registry.candidate(
                    gate.read_evaluation(results.evaluate.output, aws_client("s3")),
                    data=results.stage_data,
                    code=results.package_code.sha256,
                    inputs=results.check_for_changes,
                    training_job=results.trained.name,
                    run=results.address,
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
            body=from_results(
                lambda results: approval.question(
                    results.gate.evaluation,
                    results.gate.reason,
                    results.gate.candidate,
                    results.pushed("evaluate", EvaluationReportLink.key),
                )
            ),
            about=lambda context: to_json(PipelineResults(context).gate.candidate),
            options=[approval.APPROVE, approval.REJECT],
            defaults=approval.REJECT,
            response_timeout=timedelta(hours=project.approval.timeout_hours),
            skip=reason_not_to_ask,
            notifiers=alerts.on_question(project),
        )
        approved = record_approval()
        chain(register, passed, approve, approved)
        # Otherwise, it could not distinguish "no approval needed" from "no candidate".
        passed >> approved
    return group
