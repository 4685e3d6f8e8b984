"""Run DAGs in this process against local AWS, with one small project.

No scheduler is between two tasks, so a whole run takes seconds. Tasks are not retried.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import tarfile
import threading
import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import airflow.models.dagrun
import jsonschema
import pytest
import sqlalchemy.event
import yaml
from airflow import settings
from airflow.dag_processing import dagbag
from airflow.dag_processing.dagbag import BundleDagBag, DagBag
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.sdk import DAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import select

from include.pipeline.data.drawings import CLASSES, draw_picture
from include.pipeline.project_files import load_project
from include.pipeline.settings import Project

REPOSITORY = Path(__file__).parents[2]
NAME = "shapes"
IMAGES_PER_CLASS = {"train": 10, "valid": 4, "test": 6}
SETTINGS: dict[str, Any] = {
    "name": NAME,
    "description": "Tells drawn shapes apart.",
    # Smaller images than by default take half of the processor time, in each job and in each request.
    "classifier": {"epochs": 15, "image_size": 128},
    "tuning": {"max_jobs": 1, "batch_sizes": [16], "learning_rate": [0.002, 0.004]},
    "training": {"keep_alive_minutes": 60},
    "smoke_test": {"images": 5},
}
PAUSE_SECONDS = 0.3
"""How long a caller waits after each answer."""
CALLERS = int(os.environ.get("CALLERS", "1"))
"""How many callers send requests at the same time. Each sends about three a second."""
PERSON = "anna"
"""The user who answers the questions of a run."""
Hook = Callable[[Any], Any]
Choice = Callable[[list[str]], str]
"""Choose one of the options of a question."""


class Asking:
    """Sends requests to the function. Each of the :data:`CALLERS` sends one after the other, in its own thread."""

    def __init__(self, ask: Callable[[], dict[str, Any]], pause_seconds: float) -> None:
        self._ask, self._pause_seconds = ask, pause_seconds
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]
        self._error: BaseException | None = None
        self._sent = 0
        self._numbers: list[int] = []  # of the requests that were answered
        self._began = time.monotonic()
        self.answers: list[dict[str, Any]] = []
        """The answers so far."""

    @property
    def per_second(self) -> float:
        """The number of answers in a second, from the first request to now."""
        return len(self.answers) / (time.monotonic() - self._began)

    def next(self, count: int = 5) -> list[dict[str, Any]]:
        """Wait for the answers to ``count`` requests that are sent after this call, and return them."""
        with self._changed:
            sent = self._sent

            def found() -> list[dict[str, Any]]:
                pairs = zip(self._numbers, self.answers, strict=True)
                return [answer for number, answer in pairs if number > sent][:count]

            self._changed.wait_for(lambda: self._error or len(found()) == count)
            if self._error:
                raise self._error
            return found()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                with self._changed:
                    self._sent += 1
                    number = self._sent
                answer = self._ask()
                with self._changed:
                    self._numbers.append(number)
                    self.answers.append(answer)
                    self._changed.notify_all()
                self._ended.wait(self._pause_seconds)  # the requests share two cores with the endpoint
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


class Pipeline:
    """A project with its file, its DAGs and its resources in AWS.

    :param folder: where its file and its images are.
    """

    pause_seconds = PAUSE_SECONDS

    def __init__(self, folder: Path, aws_url: str, client: Callable[[str], Any]) -> None:
        self.folder, self.aws_url = folder, aws_url
        self.client = functools.cache(client)
        self.file = folder / f"{NAME}.yaml"

    @contextmanager
    def leading_here(self) -> Iterator[None]:
        """Let Airflow read only this project, and let its tasks call this local AWS."""
        with tasks_asking(self.aws_url), pytest.MonkeyPatch.context() as patch:
            patch.setattr("include.pipeline.project_files.read_projects.__defaults__", (self.folder,))
            yield

    def write(self, **changes: dict[str, Any]) -> None:
        """Write the project's file with these keys in its sections."""
        images = self.folder / f"{NAME}.zip"
        if not images.exists():
            draw_images(images)
        settings = {**SETTINGS, "data": {"source": str(images)}}
        for section, keys in changes.items():
            settings[section] = {**settings.get(section, {}), **keys}
        self.file.write_text(yaml.safe_dump(settings), encoding="utf-8")

    @property
    def project(self) -> Project:
        return load_project(self.file)

    def dag(self, kind: str) -> DAG:
        dag = DagBag(str(REPOSITORY / "dags" / f"{kind}.py")).dags[f"{NAME}.{kind}"]
        for task in dag.tasks:
            task.retries = 0
        return dag

    def run(
        self,
        kind: str,
        *,
        before: Mapping[str, Hook] | None = None,
        answers: Mapping[str, Choice] | None = None,
        run_type: str = "manual",
        **conf: Any,
    ) -> Any:
        """Run a DAG to its end and return the run.

        :param before: by task, a function to call with the context before the task starts.
        :param answers: by task, how a person answers its question.
        """
        dag = self.dag(kind)
        for task_id, hook in (before or {}).items():
            dag.get_task(task_id).pre_execute = hook
        return run_dag(dag, run_type, answers, run_conf=conf)

    def clear(self, kind: str, run: Any, task_id: str, before: Mapping[str, Hook] | None = None) -> Any:
        """Clear a task of a run that has ended, with the tasks after it, run these and return the run.

        :param before: as in :meth:`run`.
        """
        dag = self.dag(kind)
        for hooked, hook in (before or {}).items():
            dag.get_task(hooked).pre_execute = hook
        after = dag.get_task(task_id).get_flat_relatives(upstream=False)
        return run_dag(dag, cleared=(run, {task_id, *(task.task_id for task in after)}))

    def ask(self) -> dict[str, Any]:
        """Return the answer of the function to a drawn picture."""
        result = self.client("lambda").invoke(
            FunctionName=NAME, Qualifier="live", Payload=json.dumps(event())
        )
        answer: dict[str, Any] = json.load(result["Payload"])
        return answer

    def asked(self) -> Asking:
        """Send requests to the function until the end of the block."""
        return Asking(self.ask, self.pause_seconds)

    def change_artifact(self, uri: str, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
        """Replace a ``model.tar.gz`` with one that has changed files."""
        s3 = self.client("s3")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body = io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        with tarfile.open(fileobj=body) as old:
            files = {m.name: old.extractfile(m).read() for m in old.getmembers() if m.isfile()}  # type: ignore[union-attr]
        changed = io.BytesIO()
        with tarfile.open(fileobj=changed, mode="w:gz", compresslevel=0) as new:
            for name, content in change(files).items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
        s3.put_object(Bucket=bucket, Key=key, Body=changed.getvalue())


@contextmanager
def tasks_asking(aws_url: str) -> Iterator[None]:
    """Let the tasks that Airflow runs in this process call this local AWS."""
    _make_one_execution_api()
    _never_wait_for_the_disk()
    # Seconds, which every process that collects the tests would take.
    from aiobotocore.httpsession import AIOHTTPSession

    try:
        from tests.e2e.execution_api import in_same_thread
    except ModuleNotFoundError:  # in killed_runs.py, a script, which finds its neighbors alone
        from execution_api import in_same_thread

    with in_same_thread(), pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "IMAGE_CLASSIFIER_TARGET": "local",
            "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local-airflow",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }.items():
            patch.setenv(name, value)
        # Each task creates its own clients, which takes longer than most calls. Equal clients are shared here.
        patch.setattr(AwsGenericHook, "get_client_type", _making_each_client_once())
        # Each task validates the same parameters several times, which takes a seventh of the time of a run.
        patch.setattr(jsonschema, "validate", _validating_each_value_once())
        # Each trigger reads all certificates again, although local AWS has none.
        patch.setattr(AIOHTTPSession, "_build_verify_context", _reading_certificates_once(AIOHTTPSession))
        yield


def run_dag(
    dag: DAG,
    run_type: str = "manual",
    answers: Mapping[str, Choice] | None = None,
    cleared: tuple[Any, set[str]] | None = None,
    **options: Any,
) -> Any:
    """Run a DAG to its end in this process and return the run.

    :param answers: by task, how a person answers its question.
    :param cleared: a run that has ended, which runs again in place of a new one, and its tasks to clear.
    :param options: the options of ``DAG.test``.
    """

    create, sleep = airflow.models.dagrun.get_or_create_dagrun, time.sleep

    def clear_run(**arguments: Any) -> Any:
        session = arguments["session"]
        assert cleared is not None
        run = session.get(DagRun, cleared[0].id)
        run.dag = arguments["dag"]
        clear_task_instances([ti for ti in run.get_task_instances() if ti.task_id in cleared[1]], session)
        run.state = DagRunState.RUNNING
        session.commit()
        return run

    def create_run(**arguments: Any) -> Any:
        run, session = create(**arguments), arguments["session"]
        run.run_type = run_type
        session.commit()
        return run

    def pause(seconds: float) -> None:
        if threading.current_thread() is not threading.main_thread():
            sleep(seconds)
            return
        # Airflow pauses while a task waits for an answer.
        for task_id, choose in (answers or {}).items():
            answer(dag.dag_id, task_id, choose)
        # Airflow and what it runs would wait for a second or more.
        sleep(min(seconds, 0.1))

    # Airflow would write all DAGs of the folder to its database, which takes longer.
    one = functools.partial(BundleDagBag, Path(dag.fileloc))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(airflow.models.dagrun, "get_or_create_dagrun", clear_run if cleared else create_run)
        patch.setattr(dagbag, "BundleDagBag", lambda dag_folder, **options: one(**options))
        patch.setattr(time, "sleep", pause)
        return dag.test(**options)


def answer(dag_id: str, task_id: str, choose: Choice) -> None:
    """Answer the open question of a task, if there is one, with the code of Airflow's API."""
    with create_session() as session:
        waiting = session.scalars(
            select(HITLDetail)
            .join(TaskInstance, HITLDetail.ti_id == TaskInstance.id)
            .where(
                TaskInstance.dag_id == dag_id,
                TaskInstance.task_id == task_id,
                TaskInstance.state == TaskInstanceState.AWAITING_INPUT,
                HITLDetail.responded_at.is_(None),
            )
        ).all()
        if not waiting:
            return
        # Seconds, which every process that collects the tests would take.
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
        from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail

        for question in waiting:
            update_hitl_detail(
                dag_id=dag_id,
                dag_run_id=question.task_instance.run_id,
                task_id=task_id,
                update_hitl_detail_payload=UpdateHITLDetailPayload(
                    chosen_options=[choose(question.options)], params_input={}
                ),
                user=SimpleAuthManagerUser(username=PERSON, role="admin"),
                session=session,
            )


@functools.cache
def event() -> dict[str, str]:
    """Return a request with a picture that no model was trained on."""
    return {"image": b64encode(_picture("test", "004.star", 0)).decode()}


def states(run: Any) -> dict[str, str]:
    """Return the state of each task of a run."""
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def xcom(run: Any, task_id: str, key: str = "return_value") -> Any:
    """Return an XCom of a task of a run."""
    (ti,) = [ti for ti in run.get_task_instances() if ti.task_id == task_id]
    return ti.xcom_pull(task_ids=task_id, key=key)


@functools.cache
def _make_one_execution_api() -> None:
    # Seconds, which every process that collects the tests would take.
    from include.laptop.execution_api import keep_newest_version

    keep_newest_version()


@functools.cache
def _never_wait_for_the_disk() -> None:
    """Let SQLite leave it to the system when to write Airflow's database to the disk."""
    assert settings.engine
    settings.engine.dispose()
    sqlalchemy.event.listen(
        settings.engine, "connect", lambda dbapi, record: dbapi.execute("PRAGMA synchronous=OFF")
    )


def _making_each_client_once() -> Callable[..., Any]:
    make, made = AwsGenericHook.get_client_type, {}

    def client(
        hook: Any, region_name: str | None = None, config: Any = None, deferrable: bool = False
    ) -> Any:
        if deferrable:  # it belongs to the event loop, which ends with the task
            return make(hook, region_name, config, deferrable)
        key = hook.client_type, region_name, config, hook._config  # noqa: SLF001
        if key not in made:
            made[key] = make(hook, region_name, config)
        return made[key]

    return client


def _validating_each_value_once() -> Callable[..., None]:
    validate, valid = jsonschema.validate, set()

    def validate_once(instance: Any, schema: Any, *arguments: Any, **options: Any) -> None:
        key = json.dumps([instance, schema], sort_keys=True)
        if key not in valid:
            validate(instance, schema, *arguments, **options)
            valid.add(key)

    return validate_once


def _reading_certificates_once(sessions: Any) -> Callable[[Any], Any]:
    build, built = sessions._build_verify_context, {}  # noqa: SLF001

    def build_once(session: Any) -> Any:
        verify = session._verify  # noqa: SLF001
        if verify not in built:
            built[verify] = build(session)
        return built[verify]

    return build_once


def _picture(split: str, label: str, number: int) -> bytes:
    file = io.BytesIO()
    draw_picture(label, random.Random(f"{split} {label} {number}")).save(file, "PNG")
    return file.getvalue()


def draw_images(archive: Path) -> None:
    """Write a zip file with a few pictures of each class in train, valid and test."""
    with zipfile.ZipFile(archive, "w") as images:
        for split, count in IMAGES_PER_CLASS.items():
            for label in CLASSES:
                for number in range(count):
                    images.writestr(f"{split}/{label}/{number}.png", _picture(split, label, number))
