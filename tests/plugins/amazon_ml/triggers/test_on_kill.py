"""What a trigger stops when Airflow calls on_kill, with Airflow's Execution API, in each state of the task."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import in_process_api_server
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagcode import DagCode
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.api.client import Client
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.request_handlers import handle_get_task_states
from airflow.sdk.timezone import utcnow
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from amazon_ml.triggers.ec2_training import EC2CommandTrigger
from amazon_ml.triggers.sagemaker import SageMakerStatusTrigger
from botocore.exceptions import ClientError
from sqlalchemy import select

MARK = {"Key": "stopped-by", "Value": "airflow"}
TAGS = [{"Key": "managed-by", "Value": "airflow"}, {"Key": "aws:created", "Value": "x"}]
KINDS = ("TrainingJob", "ProcessingJob", "HyperParameterTuningJob")


class Aws:
    """An asynchronous client that records its calls, and the hook that returns it."""

    def __init__(self, refused: str = "", status: str = "InProgress") -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refused = refused
        self.answer: dict[str, Any] = {"Tags": TAGS}
        for kind in KINDS:
            self.answer |= {f"{kind}Arn": "arn:job", f"{kind}Status": status}

    async def get_async_conn(self) -> Aws:
        return self

    async def __aenter__(self) -> Aws:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        async def call(**arguments: Any) -> dict[str, Any]:
            self.calls.append((operation, arguments))
            if operation == self.refused:
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)
            return self.answer

        return call


class Job(SageMakerStatusTrigger):
    """A trigger that waits for a kind of job."""

    def __init__(self, aws: Aws, kind: str = "TrainingJob") -> None:
        method = {"HyperParameterTuningJob": "hyper_parameter_tuning_job"}.get(
            kind, kind.replace("Job", "_job").lower()
        )
        super().__init__(
            describe=f"describe_{method}",
            describe_args={f"{kind}Name": "birds"},
            status_key=f"{kind}Status",
            pending_states=["InProgress"],
            stop=f"stop_{method}",
        )
        self.aws = aws

    def hook(self) -> Any:
        return self.aws


class Instance(EC2CommandTrigger):
    """A trigger that waits for an EC2 instance."""

    def __init__(self, aws: Aws) -> None:
        super().__init__(instance_id="i-1", deadline=0)
        self.aws = aws

    def hook(self) -> Any:
        return self.aws


def kill(trigger: Any, instance: Any = None) -> list[str]:
    """Let Airflow kill the trigger of a task instance; return its calls to AWS."""
    trigger.task_instance = instance
    asyncio.run(trigger.on_kill())
    return [operation for operation, _ in trigger.aws.calls]


@pytest.fixture(scope="module")
def run_id() -> str:
    """A run of the DAG `killed` in Airflow's database, with one task."""
    initdb()
    run_id, now = uuid.uuid4().hex, utcnow()
    with DAG("killed", schedule=None) as dag:
        EmptyOperator(task_id="train")
    with create_session() as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DagCode, "get_code_from_file", lambda *_: Path(__file__).read_text())
        session.merge(DagBundleModel(name="killed"))
        session.flush()
        session.merge(DagModel(dag_id="killed", bundle_name="killed", fileloc=__file__, is_paused=False))
        session.flush()
        SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name="killed", session=session)
        session.flush()
        SerializedDagModel.get("killed", session=session).dag.create_dagrun(
            run_id=run_id,
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
    return run_id


@pytest.fixture(scope="module")
def client() -> Client:
    """A client of Airflow's Execution API. It is created here, since a trigger's time limit would include that."""
    client = Client(base_url=None, token="", dry_run=True, transport=in_process_api_server().transport)
    client.base_url = "http://in-process.invalid./"
    client.get("health")
    return client


@pytest.fixture
def instance(run_id: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Set the state of the task, and return its task instance as the triggerer passes it to the trigger."""
    supervisor = SimpleNamespace(send=lambda message: handle_get_task_states(client, message)[0])
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)

    def put(state: str | None, map_index: int = -1) -> Any:
        with create_session() as session:
            row = session.scalars(select(TaskInstance).where(TaskInstance.run_id == run_id)).one()
            row.state, row.map_index = state, map_index
        return SimpleNamespace(dag_id="killed", task_id="train", run_id=run_id, map_index=map_index)

    return put


class TestDeferredTask:
    @pytest.mark.parametrize("map_index", [-1, 3], ids=["not mapped", "mapped"])
    @pytest.mark.parametrize("kind", [Job, Instance])
    def test_nothing_is_stopped(self, instance: Callable[..., Any], kind: Any, map_index: int) -> None:
        assert kill(kind(Aws()), instance("deferred", map_index)) == []


class TestTaskThatIsNoLongerDeferred:
    @pytest.mark.parametrize(
        "state",
        [
            pytest.param("failed", id="marked failed"),
            pytest.param("success", id="marked success"),
            pytest.param(None, id="cleared"),
            pytest.param("queued", id="cleared and queued"),
            pytest.param("running", id="cleared, and the next try runs"),
        ],
    )
    def test_job_is_tagged_then_stopped(self, instance: Callable[..., Any], state: str | None) -> None:
        calls = kill(Job(Aws()), instance(state))
        assert calls == ["describe_training_job", "list_tags", "add_tags", "stop_training_job"]

    def test_instance_is_terminated(self, instance: Callable[..., Any]) -> None:
        assert kill(Instance(Aws()), instance("failed")) == ["terminate_instances"]

    def test_termination_is_retried_for_a_new_instance(self) -> None:
        trigger = Instance(aws := Aws())
        trigger.poll_interval = 0
        answers = [ClientError({"Error": {"Code": "InvalidInstanceID.NotFound"}}, "TerminateInstances")] * 2

        async def terminate(**arguments: Any) -> None:
            aws.calls.append(("terminate_instances", arguments))
            if answers:
                raise answers.pop()

        aws.terminate_instances = terminate  # type: ignore[attr-defined]
        assert kill(trigger) == ["terminate_instances"] * 3

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_job_gets_the_mark_in_addition_to_its_tags(self, kind: str) -> None:
        kill(Job(aws := Aws(), kind))
        assert dict(aws.calls)["add_tags"] == {"ResourceArn": "arn:job", "Tags": [TAGS[0], MARK]}

    @pytest.mark.parametrize("kind", KINDS)
    def test_ended_job_is_not_tagged(self, kind: str) -> None:
        assert len(kill(Job(Aws(status="Completed"), kind))) == 1

    @pytest.mark.parametrize("refused", ["describe_training_job", "list_tags", "add_tags"])
    def test_job_is_stopped_if_it_can_not_be_tagged(self, refused: str) -> None:
        assert kill(Job(Aws(refused=refused)))[-1] == "stop_training_job"

    def test_job_is_stopped_if_the_task_state_is_unknown(
        self, instance: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: Any) -> None:
            raise ConnectionResetError

        waiting = instance("deferred")
        monkeypatch.setattr(task_runner.SUPERVISOR_COMMS, "send", fail)
        assert kill(Job(Aws()), waiting)[-1] == "stop_training_job"


@pytest.mark.parametrize("make", [Job, Instance])
def test_job_is_stopped_although_airflow_cancels_the_trigger_repeatedly(
    make: Callable[[Aws], Any],
) -> None:
    """The triggerer cancels a killed trigger repeatedly until it has ended."""

    async def canceled_three_times() -> list[str]:
        trigger, answer = make(Aws()), asyncio.Event()

        async def is_still_deferred() -> bool:
            await answer.wait()
            return False

        trigger.is_still_deferred = is_still_deferred
        killing = asyncio.ensure_future(trigger.on_kill())
        for _ in range(3):
            await asyncio.sleep(0)
            killing.cancel()
        await asyncio.sleep(0)
        answer.set()
        await killing
        return [operation for operation, _ in trigger.aws.calls]

    assert asyncio.run(canceled_three_times())[-1] in ("stop_training_job", "terminate_instances")


def test_hanging_stop_ends_before_airflows_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amazon_ml.triggers.base.KILL_SECONDS", 0)
    trigger: Any = Job(Aws())

    async def kill() -> None:
        await asyncio.Event().wait()

    trigger.kill = kill
    asyncio.run(trigger.on_kill())
    assert trigger.aws.calls == []
