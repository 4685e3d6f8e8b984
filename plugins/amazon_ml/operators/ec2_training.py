"""Train on an EC2 instance that is launched for the training and terminated afterwards."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.amazon.aws.hooks.ec2 import EC2Hook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.hooks.ssm import SsmHook
from airflow.providers.amazon.aws.links.ec2 import EC2InstanceLink
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred, conf
from botocore.exceptions import ClientError

from amazon_ml.instance_status import ALIVE, ENDED
from amazon_ml.links.console import persist_console_link
from amazon_ml.links.ec2_training import CommandLogsLink
from amazon_ml.operators.lost_trigger import RestartOnLostTriggerOperator, deferral_timeout
from amazon_ml.operators.sagemaker_jobs import TrainingResult, training_result
from amazon_ml.triggers.ec2_training import CommandEvent, EC2CommandTrigger
from include.aws.documents import AwsAnswer, RequestArgument

if TYPE_CHECKING:
    from airflow.sdk import Context

DOCUMENT = "AWS-RunShellScript"
# Deep Learning AMIs take a few minutes to boot.
START_SECONDS = 15 * 60
# How long Systems Manager may take to deliver a command to an instance that has just become available.
DELIVERY_SECONDS = 10 * 60
# Systems Manager ends a command itself. This is the additional time until it reports the end.
GRACE_SECONDS = 60
# A retry would fail in the same way: the request or the permissions have to change.
REFUSED = frozenset(
    {
        "InvalidKeyPair.NotFound",
        "InvalidSubnetID.NotFound",
        "MaxSpotInstanceCountExceeded",
        "OptInRequired",
        "UnauthorizedOperation",
        "VcpuLimitExceeded",
    }
)
# The client token was used to launch an earlier instance, perhaps from another AMI.
PAST_TOKEN = frozenset({"IdempotentInstanceTerminated", "IdempotentParameterMismatch"})
LAUNCH_TOKENS = 20
# How long a launch may not find a new instance profile or security group, and how long a termination may not find a
# new instance.
NEW_SECONDS = 120
NEW_INSTANCE_SECONDS = 30
UNKNOWN_INSTANCE = "InvalidInstanceID.NotFound"
TIMES = ("CreationTime", "TrainingStartTime", "TrainingEndTime")
SHOWN_ERROR = 1000


class EC2TrainingResult(TrainingResult):
    """The result of a training on EC2."""

    name: str
    status: str
    instance_id: str


class EC2TrainingOperator(RestartOnLostTriggerOperator, AwsBaseOperator[EC2Hook]):
    """
    Launch an EC2 instance, run training commands on it, and always terminate it.

    The commands upload the trained model to S3, and finally a record: a JSON document in the format of SageMaker's
    DescribeTrainingJob with the additional member ``InstanceId``. Their environment has ``INSTANCE_ID`` and
    ``INSTANCE_LAUNCH_TIME`` (ISO). If the record says that the training is completed, and the model still exists, the
    training is not repeated. A retry finds the instance by its tags and the command by its comment, and waits for them.
    If the training script failed or timed out, the task fails without a retry. If no instance is available or the
    instance is lost, the task fails with a retry. If an instance of an earlier try is lost, another one is launched in
    the same try: after a Clear, the trigger of the old try may terminate it late (apache/airflow#72100).

    :param config: The training (templated): ``Name``, at most 60 characters; ``Instance``, the parameters of boto3's
        ``run_instances``, with tags for the instance that no other training has; ``Commands``, the lines of a shell
        script; ``ExecutionTimeout``, their time limit in seconds; ``LogGroup``, the CloudWatch log group for their
        output; ``Record``, the S3 URI of the record.
    :param poll_interval: The number of seconds between two polls.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``name``, ``status``, ``started`` and ``ended`` (ISO), ``training_seconds``, ``billable_seconds`` (from the
        instance's launch), ``artifact`` (S3 URI), ``metrics`` (the last value of each) and ``instance_id``.
    """

    aws_hook_class = EC2Hook
    template_fields: Sequence[str] = aws_template_fields("config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    operator_extra_links = (EC2InstanceLink(), CommandLogsLink())
    ui_color = "#ded7cf"

    def __init__(
        self,
        *,
        config: RequestArgument,
        poll_interval: float = 30,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config: Any = config  # a dictionary after rendering
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.instance_id: str | None = None

    @property
    def _hook_parameters(self) -> dict[str, Any]:
        return {**super()._hook_parameters, "api_type": "client_type"}

    @cached_property
    def s3(self) -> Any:
        """A client for S3, where the record is stored."""
        return S3Hook(**super()._hook_parameters).get_conn()

    @cached_property
    def ssm(self) -> Any:
        """A client for Systems Manager, which runs the commands."""
        return SsmHook(**super()._hook_parameters).get_conn()

    def begin(self, context: Context) -> Any:
        """Use a completed training, adopt an existing instance and command, or launch an instance."""
        record = self.read_record()
        if record and self.is_done(record):
            self.log.info("%s is already completed. Using its result.", self.config["Name"])
            self.terminate()
            return self.result(record)
        with self.terminating():
            found = self.find()
            instance = found or self.launch()
            adopted = found is not None
            self.instance_id = instance["InstanceId"]
            persist_console_link(EC2InstanceLink, context, self, instance_id=self.instance_id)
            command = self.find_command(self.instance_id)
            if command:
                self.log.info("%s is already running. Waiting for it.", self.config["Name"])
                return self.wait_for_command(context, command, adopted=adopted)
            return self.wait(
                context,
                deadline=instance["LaunchTime"].timestamp() + START_SECONDS,
                then="execute_command",
                adopted=adopted,
            )

    def execute_command(self, context: Context, event: CommandEvent, adopted: bool = False) -> Any:
        """Send the commands to the instance when it accepts commands."""
        if adopted and event["status"] == "lost":
            return self.execute_again(context, event)
        self.instance_id = event["instance_id"]
        with self.terminating():
            if event["status"] == "timeout":
                raise AirflowException(
                    f"{self.instance_id} accepted no commands within {START_SECONDS // 60} minutes "
                    f"({event['message']}). Check that it has the instance profile and can reach Systems Manager, S3 "
                    "and CloudWatch Logs through a public IP address, a NAT gateway or VPC endpoints."
                )
            self.check_event(event)
            return self.wait_for_command(context, self.send_command(event["instance_id"]), adopted=adopted)

    def execute_complete(self, context: Context, event: CommandEvent, adopted: bool = False) -> Any:
        """Evaluate the record when the command has ended, and terminate the instance."""
        if adopted and event["status"] == "lost":
            return self.execute_again(context, event)
        self.instance_id = event["instance_id"]
        try:
            if event["status"] == "timeout":
                self.give_up()
            self.check_event(event)
            return self.evaluate(event["instance_id"], event["command_id"])
        finally:
            self.terminate()

    def execute_again(self, context: Context, event: CommandEvent) -> Any:
        """Launch another instance to replace the lost instance of an earlier try."""
        self.log.info(
            "%s, which an earlier try launched, is lost: %s. Starting over.",
            event["instance_id"],
            event["message"],
        )
        self.instance_id = None
        return self.begin(context)

    @contextmanager
    def terminating(self) -> Iterator[None]:
        """Terminate the instance on any exception, except when the task is deferred."""
        try:
            yield
        except TaskDeferred:
            raise
        except BaseException:
            self.terminate()
            raise

    def read_record(self) -> AwsAnswer | None:
        """Read the record of the commands, or of an earlier attempt; None if there is no record."""
        bucket, _, key = self.config["Record"].removeprefix("s3://").partition("/")
        try:
            record: AwsAnswer = json.load(self.s3.get_object(Bucket=bucket, Key=key)["Body"])
        except self.s3.exceptions.NoSuchKey:
            return None
        return record | {key: datetime.fromisoformat(record[key]) for key in TIMES if key in record}

    def is_done(self, record: AwsAnswer) -> bool:
        """Return whether a training is completed and its model still exists."""
        if record["TrainingJobStatus"] != "Completed":
            return False
        bucket, _, key = record["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return bool(found.get("KeyCount"))

    def result(self, record: AwsAnswer) -> EC2TrainingResult:
        """Return the value for XCom."""
        return {
            "name": self.config["Name"],
            "status": record["TrainingJobStatus"],
            **training_result(record),
            "instance_id": record["InstanceId"],
        }

    def find(self) -> AwsAnswer | None:
        """Describe the pending or running instance of this training; None if there is none."""
        instances = self._instances(ALIVE)
        return max(instances, key=lambda instance: instance["LaunchTime"]) if instances else None

    def launch(self) -> AwsAnswer:
        """
        Launch the instance exactly once, even if the response is lost.

        :raises AirflowFailException: If EC2 rejects the launch permanently.
        :raises AirflowException: If no instance is available now.
        """
        # A client token identifies one instance, even after that instance has been terminated.
        first = 1 + len(self._instances(ENDED))
        for number in range(first, first + LAUNCH_TOKENS):
            token = f"{self.config['Name']}-{number}"
            try:
                answer = self._run_instances(token)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in PAST_TOKEN:
                    continue
                kind = AirflowFailException if code in REFUSED else AirflowException
                instance_type = self.config["Instance"].get("InstanceType")
                raise kind(f"EC2 can't launch {instance_type}: {error}") from error
            instance: AwsAnswer = answer["Instances"][0]
            if instance["State"]["Name"] in ALIVE:
                self.log.info("Launched %s.", instance["InstanceId"])
                return instance
        raise AirflowException(f"EC2 reports that all client tokens of {self.config['Name']} are in use.")

    def _run_instances(self, token: str) -> AwsAnswer:
        deadline = time.monotonic() + NEW_SECONDS
        while True:
            try:
                answer: AwsAnswer = self.hook.conn.run_instances(**self.config["Instance"], ClientToken=token)
                return answer
            except ClientError as error:
                if not is_unknown_yet(error) or time.monotonic() > deadline:
                    raise
                self.log.info("EC2 can't find a resource of the launch yet: %s", error)
            time.sleep(self.poll_interval)

    def find_command(self, instance_id: str) -> str | None:
        """Return the ID of the command that was sent to the instance; None if there is none."""
        try:
            commands = self.ssm.list_commands(InstanceId=instance_id)["Commands"]
        except self.ssm.exceptions.InvalidInstanceId:  # not registered with Systems Manager yet
            return None
        sent = [command for command in commands if command.get("Comment") == self.config["Name"]]
        return max(sent, key=lambda command: command["RequestedDateTime"])["CommandId"] if sent else None

    def send_command(self, instance_id: str) -> str:
        """Send the commands; return their common command ID."""
        instance = self.find()
        launched = (instance or {"LaunchTime": datetime.now().astimezone()})["LaunchTime"].isoformat()
        environment = {"INSTANCE_ID": instance_id, "INSTANCE_LAUNCH_TIME": launched}
        command = self.ssm.send_command(
            InstanceIds=[instance_id],
            DocumentName=DOCUMENT,
            Comment=self.config["Name"],
            TimeoutSeconds=DELIVERY_SECONDS,
            Parameters={
                "commands": [
                    *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
                    *self.config["Commands"],
                ],
                "executionTimeout": [str(self.config["ExecutionTimeout"])],
            },
            CloudWatchOutputConfig={
                "CloudWatchOutputEnabled": True,
                "CloudWatchLogGroupName": self.config["LogGroup"],
            },
        )["Command"]
        self.log.info("Sent command %s to %s.", command["CommandId"], instance_id)
        return str(command["CommandId"])

    def wait_for_command(self, context: Context, command_id: str, *, adopted: bool) -> Any:
        """Wait for the end of the command, with its full time limit from now."""
        persist_console_link(
            CommandLogsLink,
            context,
            self,
            log_group=self.config["LogGroup"],
            log_stream_prefix=f"{command_id}/",
        )
        limit = DELIVERY_SECONDS + self.config["ExecutionTimeout"] + GRACE_SECONDS
        return self.wait(
            context,
            deadline=time.time() + limit,
            then="execute_complete",
            command_id=command_id,
            adopted=adopted,
        )

    def wait(
        self,
        context: Context,
        *,
        deadline: float,
        then: str,
        command_id: str | None = None,
        adopted: bool = False,
    ) -> Any:
        """
        Wait in the triggerer or in the worker, then continue with the event.

        :param deadline: When to time out, in seconds since the epoch.
        :param then: The method that continues.
        :param command_id: The command to wait for; None to wait until the instance accepts commands.
        :param adopted: Whether an earlier try launched the instance.
        """
        if self.deferrable and self.execution_timeout is not None:
            # Airflow does not enforce execution_timeout while a task is deferred (apache/airflow#69678).
            deadline = min(deadline, time.time() + self.execution_timeout.total_seconds())
        trigger = EC2CommandTrigger(
            instance_id=str(self.instance_id),
            command_id=command_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            log_group=self.config["LogGroup"],
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            botocore_config=self.botocore_config,
        )
        if self.deferrable:
            self.defer(
                trigger=trigger,
                method_name=then,
                kwargs={"adopted": adopted},
                timeout=deferral_timeout(deadline),
            )
        return getattr(self, then)(context, asyncio.run(trigger.wait()), adopted=adopted)

    def check_event(self, event: CommandEvent) -> None:
        """
        Raise an exception if the wait failed.

        :raises AirflowException: If AWS could not be reached, or the instance is lost.
        """
        if event["status"] == "error":
            raise AirflowException(event["message"])
        if event["status"] == "lost":
            raise AirflowException(f"{event['instance_id']} is lost: {event['message']}.")

    def evaluate(self, instance_id: str, command_id: str | None) -> EC2TrainingResult:
        """
        Return a small result.

        :raises AirflowFailException: If the training script failed or timed out, or a user canceled the command.
        :raises AirflowException: If the training did not complete for any other reason.
        """
        record = self.read_record()
        if record and record["InstanceId"] == instance_id:
            if record["TrainingJobStatus"] == "Completed":
                return self.result(record)
            raise AirflowFailException(f"{self.config['Name']} is Failed: {record['FailureReason']}")
        invocation = self.ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        details = invocation["StatusDetails"].replace(" ", "")
        if details == "ExecutionTimedOut":
            self.give_up()
        if details == "Cancelled":
            raise AirflowFailException(f"{self.config['Name']} was canceled.")
        error = invocation.get("StandardErrorContent", "").strip()[-SHOWN_ERROR:]
        raise AirflowException(
            f"{self.config['Name']} did not complete on {instance_id}: its command is {details}"
            + (f". {error}" if error else ".")
        )

    def give_up(self) -> NoReturn:
        """
        Fail the task after a timeout.

        :raises AirflowFailException: Always, since a retry would cost the same and time out again.
        """
        raise AirflowFailException(
            f"{self.config['Name']} has not ended within its limit of {self.config['ExecutionTimeout']} seconds. It "
            "was stopped, and its instance is being terminated. Increase the limit, or reduce the work."
        )

    def terminate(self) -> None:
        """Terminate every instance of this training."""
        found = {instance["InstanceId"] for instance in self._instances((*ALIVE, "stopping", "stopped"))}
        if self.instance_id:  # EC2 may not list a new instance by its tags yet
            found.add(self.instance_id)
        if not found:
            return
        self.log.info("Terminating %s.", ", ".join(sorted(found)))
        try:
            self.hook.conn.terminate_instances(InstanceIds=sorted(found))
        except ClientError as error:
            if error.response["Error"]["Code"] != UNKNOWN_INSTANCE:
                raise
            # If one of several instances does not exist, EC2 terminates none of them.
            self._terminate_one_by_one(sorted(found))

    def _terminate_one_by_one(self, instance_ids: list[str]) -> None:
        deadline = time.monotonic() + NEW_INSTANCE_SECONDS
        while True:
            instance_ids = [each for each in instance_ids if not self._is_terminated(each)]
            if not instance_ids:
                return
            if time.monotonic() > deadline:
                self.log.info("Nothing to terminate: %s does not exist.", ", ".join(instance_ids))
                return
            time.sleep(min(self.poll_interval, 5))

    def _is_terminated(self, instance_id: str) -> bool:
        """Terminate an instance; return whether it exists."""
        try:
            self.hook.conn.terminate_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if error.response["Error"]["Code"] != UNKNOWN_INSTANCE:
                raise
            return False
        return True

    def on_kill(self) -> None:
        """Terminate the instance when the task is killed."""
        if isinstance(self.config, dict):  # before rendering, nothing has been launched
            self.terminate()

    def _instances(self, states: Sequence[str]) -> list[AwsAnswer]:
        tags = [
            tag
            for specification in self.config["Instance"]["TagSpecifications"]
            if specification["ResourceType"] == "instance"
            for tag in specification["Tags"]
        ]
        filters = [{"Name": f"tag:{tag['Key']}", "Values": [tag["Value"]]} for tag in tags]
        pages = self.hook.conn.get_paginator("describe_instances").paginate(
            Filters=[*filters, {"Name": "instance-state-name", "Values": list(states)}]
        )
        return [
            instance
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]


def is_unknown_yet(error: ClientError) -> bool:
    """Return whether EC2 rejects a launch because it can't find an instance profile or security group, perhaps yet."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    return code == "InvalidGroup.NotFound" or (
        code == "InvalidParameterValue" and "iaminstanceprofile" in message.lower()
    )
