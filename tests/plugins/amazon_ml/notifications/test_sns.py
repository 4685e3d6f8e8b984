"""Notifications reach the subscribers of a stack's topic, from a worker and from the triggerer."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.callback import CallbackState
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.triggers.callback import CallbackTrigger
from amazon_ml.notifications.sns import (
    LateRunNotifier,
    QuestionNotifier,
    RunFailureNotifier,
    StackTopicNotifier,
)
from botocore.exceptions import ClientError
from human_input.operators import AskOperator

RUN = {"dag_run": {"dag_id": "birds.train_and_deploy", "dag_run_id": "manual__1"}}
TEMPLATE = {
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    "Outputs": {"TopicArn": {"Value": {"Ref": "Topic"}}},
}


class Subscribed:
    """A stack with a topic, and a queue that is subscribed to it."""

    def __init__(self, aws: Any) -> None:
        self.stack = f"stack-{uuid.uuid4().hex[:8]}"
        aws.client("cloudformation").create_stack(StackName=self.stack, TemplateBody=json.dumps(TEMPLATE))
        stack = aws.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]
        self.topic = stack["Outputs"][0]["OutputValue"]
        self.sqs = aws.client("sqs")
        self.queue = self.sqs.create_queue(QueueName=self.stack)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]
        aws.client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn["QueueArn"])

    def messages(self) -> list[tuple[str, str]]:
        """Return the subject and text of the received messages."""
        found = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        bodies = [json.loads(message["Body"]) for message in found]
        return [(body["Subject"], body["Message"]) for body in bodies]


@pytest.fixture
def subscribed(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Subscribed:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
    return Subscribed(aws)


def arguments(stack: str, output: str = "TopicArn", topic: str | None = None) -> dict[str, Any]:
    return {"stack_name": stack, "output_key": output, "target_arn": topic, "subject": "birds: late"}


def test_topic_is_read_from_the_stack_and_message_is_rendered(subscribed: Subscribed) -> None:
    StackTopicNotifier(message="Run {{ dag_run.dag_run_id }}", **arguments(subscribed.stack))(RUN)
    assert subscribed.messages() == [("birds: late", "Run manual__1")]


def test_stack_is_not_read_if_the_topic_is_given(subscribed: Subscribed) -> None:
    StackTopicNotifier(message="x", **arguments("no-stack", topic=subscribed.topic))(RUN)
    assert subscribed.messages() == [("birds: late", "x")]


@pytest.mark.parametrize("output", ["Other", "TopicArn"], ids=["no such output", "no such stack"])
def test_no_message_is_sent_if_no_topic_is_found(subscribed: Subscribed, output: str) -> None:
    stack = "no-stack" if output == "TopicArn" else subscribed.stack
    StackTopicNotifier(message="x", **arguments(stack, output))(RUN)
    assert subscribed.messages() == []


def test_no_message_is_sent_if_access_to_the_stack_is_denied(
    subscribed: Subscribed, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Denying:
        def describe_stacks(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")

    monkeypatch.setattr(AwsBaseHook, "get_conn", lambda _: Denying())
    notifier = StackTopicNotifier(message="x", **arguments(subscribed.stack))
    assert notifier.find_topic() == ""


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", [("birds: late", "Run manual__1 of birds.train_and_deploy")]),
        ("queued", [("birds: late", "Run manual__1 of birds.train_and_deploy")]),
        ("failed", []),
        ("success", []),
    ],
)
def test_triggerer_notifies_of_a_missed_deadline_of_an_unfinished_run(
    subscribed: Subscribed, state: str, expected: list[tuple[str, str]]
) -> None:
    late = {**arguments(subscribed.stack), "message": "Run {{ dag_run.dag_run_id }} of {{ dag_run.dag_id }}"}
    callback = AsyncCallback(LateRunNotifier, kwargs=late)
    context = {"dag_run": {**RUN["dag_run"], "state": state}}

    async def run() -> list[Any]:
        trigger = CallbackTrigger(callback.path, {**callback.kwargs, "context": context})
        return [event.payload async for event in trigger.run()]

    assert [payload["state"] for payload in asyncio.run(run())] == [
        CallbackState.RUNNING,
        CallbackState.SUCCESS,
    ]
    assert subscribed.messages() == expected


def test_worker_sends_nothing_for_a_run_that_has_ended(subscribed: Subscribed) -> None:
    notifier = LateRunNotifier(message="x", **arguments(subscribed.stack))
    notifier({"dag_run": {**RUN["dag_run"], "state": "failed"}})
    assert subscribed.messages() == []


@pytest.fixture
def failed_run() -> dict[str, Any]:
    """Return the members that are used of the context of a DAG's callback."""
    states = {
        "train": "success",
        "deploy_endpoint": "failed",
        "check_3": "failed",
        "report": "upstream_failed",
    }
    causes = {("deploy_endpoint", -1): "AirflowException: rolled back"}

    def pull(task_ids: str, key: str, map_indexes: int) -> str | None:
        assert key == "failure"
        return causes.get((task_ids, map_indexes))

    ti = SimpleNamespace(
        dag_id="birds.train_and_deploy",
        run_id="manual__1",
        get_task_states=lambda dag_id, run_ids: {run_ids[0]: states},
        xcom_pull=pull,
    )
    task_ids = ["train", "deploy_endpoint", "check", "report"]
    return {"ti": ti, "run_id": ti.run_id, "dag": SimpleNamespace(task_ids=task_ids, get_template_env=None)}


def compose(run_id: str, failures: dict[str, str]) -> str:
    return json.dumps([run_id, failures])


def test_message_lists_each_failed_task_and_its_cause(
    subscribed: Subscribed, failed_run: dict[str, Any]
) -> None:
    notifier = RunFailureNotifier(compose=compose, **arguments(subscribed.stack))
    notifier.notify(failed_run)
    ((_, message),) = subscribed.messages()
    assert json.loads(message) == [
        "manual__1",
        {"check_3": "see its log", "deploy_endpoint": "AirflowException: rolled back"},
    ]


def test_failed_run_without_a_failed_task_sends_a_message(subscribed: Subscribed) -> None:
    notifier: Callable[[Any], None] = RunFailureNotifier(
        compose=compose, **arguments(subscribed.stack)
    ).notify
    notifier({"run_id": "manual__1"})
    assert [message for _, message in subscribed.messages()] == ['["manual__1", {}]']


def asking(**arguments: Any) -> dict[str, Any]:
    """Return the context of a task with a rendered question."""
    task = AskOperator(task_id="approve", subject="Deploy the new model?", body="Good figures.", **arguments)
    page = "http://airflow.example/dags/birds.train_and_deploy/runs/manual__1/tasks/approve?try_number=1"
    return {"task": task, "ti": SimpleNamespace(log_url=page)}


def test_message_contains_the_question_as_airflow_shows_it(subscribed: Subscribed) -> None:
    context = asking(options=["Approve", "Reject"])
    QuestionNotifier(stack_name=subscribed.stack, output_key="TopicArn")(context)
    [(subject, message)] = subscribed.messages()
    assert subject == "Deploy the new model?"
    assert message == (
        "Deploy the new model?\n\nGood figures.\n\nAnswer with Approve or Reject: "
        "http://airflow.example/dags/birds.train_and_deploy/runs/manual__1/tasks/approve/required_actions"
    )


def test_question_is_asked_if_no_message_can_be_sent(subscribed: Subscribed) -> None:
    topic = subscribed.topic.replace("Topic", "Gone")
    context = asking(options=["Approve", "Reject"])
    QuestionNotifier(stack_name=subscribed.stack, output_key="TopicArn", target_arn=topic)(context)
    assert subscribed.messages() == []
