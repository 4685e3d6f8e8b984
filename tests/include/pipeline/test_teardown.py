"""The resources of a project, and their teardown, against local AWS."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from include.pipeline import alarms, inventory, live, names, resource_kinds, teardown
from include.pipeline.results import PlannedResource
from include.pipeline.settings import Endpoint, Project
from include.pipeline.teardown import LeftError, Options, RefusedError
from tests.include.pipeline.processes import done
from tests.include.pipeline.standing import BUCKET, Standing

ALL = Options(delete_data=True, delete_registry=True, delete_logs=True, delete_infrastructure=True)


@pytest.fixture
def standing(local_aws: Any, eventually: Callable[..., Any]) -> Iterator[Standing]:
    """A project without resources."""
    project = Project(name=f"p{uuid.uuid4().hex[:8]}", description="x", poll_seconds=1)
    standing = Standing(project, local_aws.client, eventually)
    yield standing
    remove(standing)


def remove(standing: Standing) -> None:
    """Run the steps of the DAG in order, with plain requests instead of operators."""
    project, client = standing.project, standing.client
    done(teardown.stop_jobs, project, client)
    done(teardown.terminate_instances, project, client("ec2"))
    for row in inventory.list_resources(project, client, BUCKET):
        if row.what == "function":
            client("lambda").delete_function(FunctionName=row.name)
        elif row.what == "scaling":
            client("application-autoscaling").deregister_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId=row.name,
                ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            )
        elif row.what == "endpoint":
            client("sagemaker").delete_endpoint(EndpointName=row.name)
            standing.eventually(
                lambda: not client("sagemaker").list_endpoints(NameContains=project.name)["Endpoints"]
            )
        elif row.what == "workspace":
            remove_workspace(row.name, client("sagemaker"))
        elif row.what == "endpoint configuration":
            client("sagemaker").delete_endpoint_config(EndpointConfigName=row.name)
        elif row.what == "model":
            client("sagemaker").delete_model(ModelName=row.name)
    teardown.delete_alarms(project, client)
    teardown.delete_registry(project, client("sagemaker"))
    teardown.delete_data(project, BUCKET, client("s3"))
    teardown.delete_logs(project, client("logs"))


def remove_workspace(row: str, sagemaker: Any) -> None:
    if row.startswith("notebook instance "):
        sagemaker.delete_notebook_instance(NotebookInstanceName=row.split()[2])
        sagemaker.get_waiter("notebook_instance_deleted").wait(
            NotebookInstanceName=row.split()[2], WaiterConfig={"Delay": 1}
        )
    else:
        sagemaker.delete_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=row.split()[2]
        )


def found(standing: Standing) -> list[str]:
    return [row.what for row in inventory.list_resources(standing.project, standing.client, BUCKET)]


def test_all_resources_are_found_and_none_is_left_after_two_teardowns(standing: Standing) -> None:
    assert found(standing) == ["infrastructure"]
    standing.build()
    standing.make_job()
    standing.make_workspace()
    standing.make_instance()
    assert list(dict.fromkeys(found(standing))) == [
        "job",
        "workspace",
        "instance",
        "security group",
        "function",
        "scaling",
        "endpoint",
        "endpoint configuration",
        "model",
        "alarm",
        "registry",
        "data",
        "logs",
        "infrastructure",
    ]
    assert found(standing).count("alarm") == len(alarms.alarm_names(standing.project))
    for _ in range(2):
        remove(standing)
        done(teardown.check_nothing_left, standing.project, standing.client, ALL, {})
        assert found(standing) == ["infrastructure"]


def test_resources_without_tags_are_found_by_name(standing: Standing) -> None:
    name = standing.make_config()
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/{name}"
    standing.client("sagemaker").delete_tags(ResourceArn=arn, TagKeys=["project", "managed-by"])
    assert inventory.models_or_configs(standing.project, resource_kinds.ENDPOINT_CONFIG, standing.client) == [
        name
    ]


def test_a_running_job_is_stopped_and_keeps_its_record_without_tags(standing: Standing) -> None:
    name = standing.make_job()
    assert done(teardown.stop_jobs, standing.project, standing.client) == 1
    sagemaker = standing.client("sagemaker")
    assert sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Stopped"
    assert inventory.jobs(standing.project, standing.client) == []


def test_an_instance_that_trains_is_terminated_and_its_security_group_deleted(standing: Standing) -> None:
    name, ec2 = standing.make_instance(), standing.client("ec2")
    with pytest.raises(LeftError, match=rf"2 resources are left: .*instance/{name}"):
        done(
            teardown.check_nothing_left, standing.project, standing.client, ALL, {"terminate_instances": "x"}
        )
    assert done(teardown.terminate_instances, standing.project, ec2) == 1
    assert inventory.instances(standing.project, ec2) in ({name: "terminated"}, {})
    assert inventory.security_groups(standing.project, ec2) == []
    assert done(teardown.terminate_instances, standing.project, ec2) == 0


class Ec2:
    """EC2 with one security group, which a network interface uses for a while, and a missing instance."""

    def __init__(self, *, in_use: int = 0) -> None:
        self.in_use = in_use
        self.calls: list[str] = []

    def delete_security_group(self, GroupId: str) -> None:
        self.calls.append(GroupId)
        if self.in_use:
            self.in_use -= 1
            message = f"resource {GroupId} has a dependent object"
            raise ClientError(
                {"Error": {"Code": "DependencyViolation", "Message": message}}, "DeleteSecurityGroup"
            )

    def terminate_instances(self, InstanceIds: list[str]) -> None:
        if "gone" in InstanceIds:
            raise ClientError(
                {"Error": {"Code": "InvalidInstanceID.NotFound", "Message": "no"}}, "TerminateInstances"
            )
        self.calls += InstanceIds


def test_a_security_group_is_deleted_once_no_network_interface_uses_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teardown, "instances", lambda *_: {})
    monkeypatch.setattr(teardown, "security_groups", lambda *_: ["sg-1"])
    done(teardown.terminate_instances, project, ec2 := Ec2(in_use=3))
    assert ec2.calls == ["sg-1"] * 4
    monkeypatch.setattr(teardown, "INTERFACES_SECONDS", 0)
    with pytest.raises(teardown.TeardownError, match="security group sg-1 to be free of network interfaces"):
        done(teardown.terminate_instances, project, Ec2(in_use=9))


def test_a_missing_instance_does_not_prevent_the_termination_of_others() -> None:
    teardown.terminate(["a", "gone", "b"], ec2 := Ec2())
    assert ec2.calls == ["a", "b"]


def test_an_instance_that_is_listed_before_ec2_knows_it_is_terminated(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, pauses, early = {"i-1": "running"}, [], iter((True, True))

    class NewInstance:
        def terminate_instances(self, InstanceIds: list[str]) -> None:
            if next(early, False):
                error = {"Code": "InvalidInstanceID.NotFound", "Message": "no"}
                raise ClientError({"Error": error}, "TerminateInstances")
            states["i-1"] = "terminated"

    def pause(_: float) -> None:
        pauses.append(states["i-1"])
        assert len(pauses) < 10, "it waits for what nobody has begun"

    monkeypatch.setattr(teardown, "instances", lambda *_: dict(states))
    monkeypatch.setattr(teardown, "security_groups", lambda *_: [])
    assert done(teardown.terminate_instances, project, NewInstance(), sleep=pause) == 1
    assert states == {"i-1": "terminated"}


def test_the_tags_of_a_job_that_the_tag_index_does_not_list_yet_are_removed(
    standing: Standing, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker, name = standing.client("sagemaker"), standing.make_job("exit 0")

    def job() -> dict[str, Any]:
        return sagemaker.describe_processing_job(ProcessingJobName=name)

    eventually(lambda: job()["ProcessingJobStatus"] == "Completed")
    monkeypatch.setattr(inventory, "tagged_arns", lambda *_: [])
    assert done(teardown.stop_jobs, standing.project, standing.client) == 1
    assert live.tags(job()["ProcessingJobArn"], sagemaker).keys().isdisjoint({"project", "managed-by"})
    assert done(teardown.stop_jobs, standing.project, standing.client) == 0


def test_an_old_job_is_found_even_if_the_tag_index_does_not_list_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = names.job_name(project, "train", {})
    job = {"TrainingJobName": name, "TrainingJobArn": f"arn:training-job/{name}"}

    class Sagemaker:
        """SageMaker with one running job. AWS may return an empty page, and then another one."""

        def get_paginator(self, operation: str) -> Sagemaker:
            self.operation = operation
            return self

        def paginate(
            self, NameContains: str, StatusEquals: str | None = None, **_: Any
        ) -> list[dict[str, Any]]:
            empty = {
                "TrainingJobSummaries": [],
                "HyperParameterTuningJobSummaries": [],
                "ProcessingJobSummaries": [],
            }
            is_it = (self.operation, StatusEquals) == ("list_training_jobs", "InProgress")
            return [empty, {"TrainingJobSummaries": [job]}] if is_it else [empty]

    monkeypatch.setattr(inventory, "tagged_arns", lambda *_: [])
    assert inventory.jobs(project, lambda service: Sagemaker()) == [
        inventory.Found(resource_kinds.TRAINING, name, job["TrainingJobArn"])
    ]


def test_alarms_that_the_tag_index_does_not_list_yet_are_deleted(
    aws: None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms.put_alarms(project, boto3.client("cloudwatch"))
    monkeypatch.setattr(inventory, "tagged_arns", lambda *_: [])
    assert teardown.delete_alarms(project, boto3.client) > 0
    assert boto3.client("cloudwatch").describe_alarms()["MetricAlarms"] == []


def test_verify_waits_for_a_delayed_tag_index(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model/birds-model-1"
    looks = iter([[arn], [arn], []])
    monkeypatch.setattr(teardown, "tagged_arns", lambda *_: next(looks))
    monkeypatch.setattr(teardown, "still_exists", lambda *_: True)
    done(teardown.check_nothing_left, project, lambda service: None, ALL, {})
    assert next(looks, None) is None


def test_resources_that_only_the_tag_index_lists_are_not_found(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = f"arn:aws:{{}}:us-east-1:123456789012:{{}}{standing.project.aws_name}-gone".format
    gone = [
        arn("sagemaker", "model/"),
        arn("sagemaker", "endpoint-config/"),
        arn("cloudwatch", "alarm:"),
    ]
    model = standing.make_model()
    monkeypatch.setattr(inventory, "tagged_arns", lambda *_: gone)
    assert found(standing) == ["model", "data", "infrastructure"]
    assert inventory.models_or_configs(standing.project, resource_kinds.MODEL, standing.client) == [model]
    assert teardown.delete_alarms(standing.project, standing.client) == 0


def test_resources_that_only_the_tag_index_lists_do_not_count_as_left(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, arn = standing.project, "arn:aws:{}:us-east-1:123456789012:{}"
    deleted = [
        *(
            arn.format("sagemaker", f"{kind.in_arn}/{project.aws_name}-gone")
            for kind in resource_kinds.SAGEMAKER
        ),
        arn.format("lambda", f"function:{project.aws_name}-gone"),
        arn.format("cloudwatch", f"alarm:{project.aws_name}-gone"),
        arn.format("ec2", "instance/i-0123456789abcdef0"),
        arn.format("ec2", "security-group/sg-0123456789abcdef0"),
    ]
    job = standing.make_job("exit 0")
    done(teardown.stop_jobs, project, standing.client)
    deleted.append(arn.format("sagemaker", f"processing-job/{job}"))
    monkeypatch.setattr(teardown, "tagged_arns", lambda *_: deleted)
    done(teardown.check_nothing_left, project, standing.client, ALL, {})
    there = arn.format("sagemaker", f"model/{standing.make_model()}")
    unknown = arn.format("sqs", "queue")
    monkeypatch.setattr(teardown, "tagged_arns", lambda *_: [*deleted, there, unknown])
    monkeypatch.setattr(teardown, "TAGS_SECONDS", 0)
    with pytest.raises(LeftError, match=rf"^2 resources are left: {there}, {unknown}$"):
        done(teardown.check_nothing_left, project, standing.client, ALL, {})


def test_warm_pools_are_ended(standing: Standing) -> None:
    name = standing.make_warm_pool()
    assert "warm pool" in found(standing)
    done(teardown.stop_jobs, standing.project, standing.client)
    assert standing.pool_status(name) == "Terminated"
    assert inventory.warm_pools(standing.project, standing.client("sagemaker")) == []


class Trained:
    """SageMaker with one training job that has just ended."""

    def __init__(self, project: Project, **members: Any) -> None:
        self.name = names.job_name(project, "train", {})
        self.looks = 0
        self.keeps = not members
        self.ended: list[str] = []
        self.members = {
            "TrainingJobStatus": "Completed",
            "TrainingEndTime": datetime.now(UTC),
            "ResourceConfig": {"KeepAlivePeriodInSeconds": 600},
        } | members

    def __getattr__(self, operation: str) -> Any:
        return lambda **request: {}

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        """Show the job's warm pool, if it has one, only after some calls."""
        self.looks += 1
        if not self.keeps or self.looks < 12 or self.ended:
            return self.members
        return {**self.members, "WarmPoolStatus": {"Status": "Available"}}

    def update_training_job(self, TrainingJobName: str, ResourceConfig: dict[str, int]) -> None:
        self.ended.append(TrainingJobName)


@pytest.mark.parametrize(
    ("members", "ended"),
    [
        pytest.param({}, True, id="that is kept"),
        pytest.param({"ResourceConfig": {}}, False, id="that is not kept"),
        pytest.param({"TrainingEndTime": datetime(2026, 1, 1, tzinfo=UTC)}, False, id="of an old job"),
        pytest.param({"TrainingJobStatus": "Stopped"}, False, id="of a job that was stopped"),
    ],
)
def test_a_warm_pool_that_forms_right_after_a_job_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, Any], ended: bool
) -> None:
    project = Project(name="birds", description="x", poll_seconds=1)
    sagemaker = Trained(project, **members)
    job = inventory.Found(resource_kinds.TRAINING, sagemaker.name, f"arn:{sagemaker.name}")
    monkeypatch.setattr(teardown, "jobs", lambda *_: [job])
    monkeypatch.setattr(
        teardown,
        "warm_pools",
        lambda *_: (
            [sagemaker.name] if "WarmPoolStatus" in sagemaker.describe_training_job(sagemaker.name) else []
        ),
    )
    done(teardown.stop_jobs, project, lambda service: sagemaker)
    assert sagemaker.ended == ([sagemaker.name] if ended else [])


def test_a_job_whose_record_was_deleted_does_not_fail_a_teardown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = Project(name="birds", description="x", poll_seconds=1)
    refusal = {"Error": {"Code": "ValidationException", "Message": "Requested resource not found."}}

    class Gone:
        def __getattr__(self, operation: str) -> Any:
            def refuse(**request: Any) -> None:
                raise ClientError(refusal, operation)

            return refuse

    job = inventory.Found(resource_kinds.TRAINING, "name", "arn")
    monkeypatch.setattr(teardown, "jobs", lambda *_: [job])
    monkeypatch.setattr(teardown, "warm_pools", lambda *_: [])
    assert done(teardown.stop_jobs, project, lambda service: Gone()) == 1


def test_only_the_projects_streams_in_shared_log_groups_are_deleted(standing: Standing) -> None:
    standing.make_logs()
    assert teardown.delete_logs(standing.project, standing.client("logs")) == 2
    left = standing.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=standing.project.aws_name
    )["logStreams"]
    assert [stream["logStreamName"] for stream in left] == [standing.streams[1]]


GROUPS = ("/aws/lambda/birds", "/aws/sagemaker/Endpoints/birds", "/image-classifier/training/birds")


def test_the_log_groups_of_function_endpoint_and_trainings_on_ec2_are_deleted(
    aws: None, project: Project
) -> None:
    logs = boto3.client("logs")
    for group in (*GROUPS, "/image-classifier/training/birds2"):
        logs.create_log_group(logGroupName=group)
    assert teardown.delete_logs(project, logs) == len(GROUPS)
    assert [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]] == [
        "/image-classifier/training/birds2"
    ]


def test_data_is_deleted_only_below_the_projects_prefix(standing: Standing) -> None:
    s3 = standing.client("s3")
    for key in (f"{standing.project.name}/data/1", f"{standing.project.name}s/data/1"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    assert teardown.delete_data(standing.project, BUCKET, s3) == 1
    left = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert f"{standing.project.name}s/data/1" in left


def test_a_registry_that_is_kept_does_not_count_as_left(standing: Standing) -> None:
    standing.make_registry()
    done(teardown.check_nothing_left, standing.project, standing.client, Options(), {})
    assert teardown.delete_registry(standing.project, standing.client("sagemaker")) == 2
    assert inventory.model_packages(standing.project, standing.client("sagemaker")) is None


def test_a_workspace_that_is_kept_does_not_count_as_left(standing: Standing) -> None:
    standing.make_workspace()
    kept = Options(delete_workspace=False)
    done(teardown.check_nothing_left, standing.project, standing.client, kept, {})
    assert teardown.planned_action("workspace", kept) == "stays, because delete_workspace is off"


def test_all_failures_and_all_resources_that_are_left_are_reported_together(standing: Standing) -> None:
    name = standing.make_model()
    failures = {"delete_function": "it is busy", "delete_endpoint": "it is updating"}
    with pytest.raises(LeftError) as raised:
        done(teardown.check_nothing_left, standing.project, standing.client, ALL, failures)
    assert str(raised.value).splitlines() == [
        "Step delete_function failed: it is busy",
        "Step delete_endpoint failed: it is updating",
        f"1 resources are left: arn:aws:sagemaker:us-east-1:123456789012:model/{name}",
    ]


@pytest.mark.parametrize(
    ("confirm", "releases", "message"),
    [
        pytest.param("", 0, "Confirm is empty. .* type the project's name, birds", id="no name"),
        pytest.param("bird", 0, "Confirm is 'bird'. .* type the project's name, birds", id="another name"),
        pytest.param(
            "birds",
            1,
            "1 runs of birds.train_and_deploy, rollback or workspace are running",
            id="a run is active",
        ),
    ],
)
def test_an_unconfirmed_or_conflicting_teardown_is_refused(
    project: Project, confirm: str, releases: int, message: str
) -> None:
    teardown.check_request(project, "birds", releases=0)
    with pytest.raises(RefusedError, match=f"^Nothing was deleted: .*{message}"):
        teardown.check_request(project, confirm, releases)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("endpoint", "is deleted"),
        ("workspace", "is deleted"),
        ("data", "stays, because delete_data is off"),
        ("logs", "is deleted"),
        ("infrastructure", "stays, because delete_infrastructure is off"),
        ("job", "is stopped if it is running; its record stays"),
    ],
)
def test_the_planned_action_of_each_resource_is_shown(what: str, expected: str) -> None:
    assert teardown.planned_action(what, Options(delete_logs=True)) == expected


def test_each_row_is_shown_on_a_line() -> None:
    rows = [
        PlannedResource(what="model", name="m-1", then="is deleted"),
        PlannedResource(what="data", name="s", then="stays"),
    ]
    assert teardown.show(rows) == ["model m-1: is deleted", "data s: stays"]


@pytest.fixture
def asked_now_and_then(standing: Standing) -> Standing:
    """A project with an endpoint in service and a limit of one hour."""
    endpoint = Endpoint(ttl_hours=1)
    standing.project = standing.project.model_copy(update={"endpoint": endpoint})
    standing.make_endpoint()
    return standing


def test_an_endpoint_without_requests_for_its_time_is_deleted(asked_now_and_then: Standing) -> None:
    project, client = asked_now_and_then.project, asked_now_and_then.client
    changed = asked_now_and_then.endpoint["LastModifiedTime"]

    def reason(hours: float, releases: int = 0) -> str | None:
        return teardown.reason_to_keep(project, releases, client, changed + timedelta(hours=hours))

    assert reason(1.5) is None
    assert "less than 1 h ago" in str(reason(0.5))
    assert "is running or queued" in str(reason(1.5, releases=1))
    client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {
                "MetricName": "Invocations",
                "Dimensions": [
                    {"Name": "EndpointName", "Value": names.endpoint_name(project)},
                    {"Name": "VariantName", "Value": names.VARIANT},
                ],
                "Timestamp": changed + timedelta(hours=1),
                "Value": 3,
            }
        ],
    )
    assert "was invoked 3 times in the last 1 h" in str(reason(1.5))
    assert reason(2.5) is None


def test_a_scheduled_teardown_without_an_endpoint_deletes_nothing(standing: Standing) -> None:
    reason = teardown.reason_to_keep(standing.project, 0, standing.client, datetime.now(UTC))
    assert reason == f"Endpoint {standing.project.aws_name} does not exist."


@pytest.fixture
def stack(aws: None) -> Any:
    """A separate moto account with a shortened infrastructure stack."""
    template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    client = boto3.client("cloudformation")
    client.create_stack(StackName="image-classifier", TemplateBody=template)
    return client


def test_the_stack_is_deleted_and_may_be_missing(project: Project, stack: Any) -> None:
    assert "is deleted" in done(teardown.delete_infrastructure, project, boto3.client)
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe_stacks(StackName="image-classifier")
    assert "does not exist" in done(teardown.delete_infrastructure, project, boto3.client)


class Denying:
    """CloudFormation with the permission to describe one stack, which is deleted with the stack's policy."""

    def __init__(self, stack: Any, *, seen: int) -> None:
        self.stack = stack
        self.seen = seen

    def describe_stacks(self, **name: str) -> Any:
        self.seen -= 1
        if self.seen < 0:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")
        return self.stack.describe_stacks(**name)

    def delete_stack(self, **name: str) -> None:
        self.stack.delete_stack(**name)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (0, "Stack image-classifier does not exist, or Airflow has no permission"),
        (1, "is being deleted, with the"),
    ],
)
def test_a_stack_without_permission_to_describe_it_is_reported(
    project: Project, stack: Any, seen: int, told: str
) -> None:
    cloudformation = Denying(stack, seen=seen)
    answer = done(
        teardown.delete_infrastructure,
        project,
        lambda service: cloudformation if service == "cloudformation" else boto3.client(service),
    )
    assert told in answer


def test_the_stack_stays_while_another_project_needs_it(project: Project, stack: Any) -> None:
    other = Project(name="fish", description="x")
    boto3.client("sagemaker").create_model_package_group(
        ModelPackageGroupName="fish", Tags=names.tag_list(other)
    )
    with pytest.raises(RefusedError, match=r"other projects need it: fish \(1 resources\)"):
        done(teardown.delete_infrastructure, project, boto3.client)
    assert stack.describe_stacks(StackName="image-classifier")["Stacks"]


def test_a_dry_run_says_what_would_be_refused(project: Project, stack: Any) -> None:
    with_stack = Options(delete_infrastructure=True)
    assert teardown.refusals(project, 0, with_stack, boto3.client) == []
    boto3.client("sagemaker").create_model_package_group(
        ModelPackageGroupName="fish", Tags=names.tag_list(Project(name="fish", description="x"))
    )
    running, others = teardown.refusals(project, 2, with_stack, boto3.client)
    assert running.startswith(f"2 runs of {project.name}.train_and_deploy, rollback or workspace are running")
    assert "other projects need it: fish (1 resources)" in others
    assert teardown.refusals(project, 0, Options(), boto3.client) == []
