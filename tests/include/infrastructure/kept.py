"""Why the stack's policies have actions that the recorded runs of tests/e2e/test_killed_runs.py do not need."""

from __future__ import annotations

WHAT_A_PERSON_DOES = "what docs/workspace.md lets a person do in a notebook of the workspace"
LOGS_OF_SAGEMAKER = (
    "SageMaker writes the logs of jobs, endpoints and notebook instances with their role: "
    "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
)
PULLS = "SageMaker pulls the container image with the role of the job or the model; local AWS pulls none"
UPLOAD = "boto3 and obstore abort a multipart upload that fails"
AGENT = "Systems Manager's agent on the instance: the policy AmazonSSMManagedInstanceCore has them. Local AWS has none"
LINKED = "AWS makes the role once per account, with the permission of the first caller; local AWS makes none"

CALLED: dict[str, tuple[str, ...]] = {
    "dags and plugins: a workspace": (
        "plugins/amazon_ml/operators/sagemaker_notebook.py",
        "AirflowPolicy Make sagemaker:CreateNotebookInstance",
        "AirflowPolicy Make sagemaker:CreateNotebookInstanceLifecycleConfig",
        "AirflowPolicy Change sagemaker:DeleteNotebookInstance",
        "AirflowPolicy Change sagemaker:DeleteNotebookInstanceLifecycleConfig",
        "AirflowPolicy Change sagemaker:StartNotebookInstance",
        "AirflowPolicy Change sagemaker:StopNotebookInstance",
        "AirflowPolicy Change sagemaker:UpdateNotebookInstance",
        "AirflowPolicy Change sagemaker:UpdateNotebookInstanceLifecycleConfig",
    ),
    "a task that is ended stops its job": (
        "plugins/amazon_ml/operators/sagemaker_jobs.py",
        "AirflowPolicy Change sagemaker:StopHyperParameterTuningJob",
        "AirflowPolicy Change sagemaker:StopProcessingJob",
        "AirflowPolicy Change sagemaker:StopTrainingJob",
    ),
    "endpoints: another release, and one that is removed": (
        "plugins/amazon_ml/operators/sagemaker_endpoint.py",
        "AirflowPolicy Change sagemaker:UpdateEndpoint",
    ),
    "teardown": (
        "include/pipeline/teardown.py",
        "AirflowPolicy Change sagemaker:DeleteModelPackageGroup",
        "AirflowPolicy Objects s3:DeleteObject",
        "AirflowServingPolicy List cloudwatch:GetMetricStatistics",
        "AirflowServingPolicy DeleteLogs logs:DeleteLogGroup",
        "AirflowServingPolicy DeleteLogs logs:DeleteLogStream",
        "AirflowEc2Policy TerminateInstances ec2:TerminateInstances",
        "AirflowEc2Policy UseOwnSecurityGroups ec2:DeleteSecurityGroup",
        "AirflowEc2Policy Logs logs:DeleteLogGroup",
    ),
    "how long logs are kept": (
        "include/pipeline/log_retention.py",
        "AirflowServingPolicy LimitLogs logs:DeleteRetentionPolicy",
        "AirflowEc2Policy Logs logs:CreateLogGroup",
        "AirflowEc2Policy Logs logs:DeleteRetentionPolicy",
        "AirflowEc2Policy Logs logs:PutRetentionPolicy",
    ),
    "the serving image": (
        "include/pipeline/serving_image.py",
        "AirflowServingPolicy BuildServingImage codebuild:BatchGetBuilds",
        "AirflowServingPolicy BuildServingImage codebuild:StartBuild",
    ),
    "old versions": (
        "include/pipeline/registry.py",
        "AirflowPolicy Change sagemaker:DeleteModelPackage",
    ),
    "functions: what a project's settings add or take away": (
        "plugins/amazon_ml/operators/lambda_function.py",
        "AirflowServingPolicy Change lambda:DeleteFunctionConcurrency",
        "AirflowServingPolicy Change lambda:DeleteFunctionUrlConfig",
        "AirflowServingPolicy Change lambda:UpdateFunctionConfiguration",
        "AirflowServingPolicy Change lambda:UpdateFunctionCode",
    ),
    "aliases": (
        "include/aws/lambda_alias.py",
        "AirflowServingPolicy Change lambda:UpdateAlias",
    ),
    "provisioned concurrency that a project takes away": (
        "plugins/amazon_ml/operators/lambda_alias.py",
        "AirflowServingPolicy Change lambda:DeleteProvisionedConcurrencyConfig",
    ),
    "scaling that people have added, put back with the endpoint": (
        "include/pipeline/scaling.py",
        "AirflowServingPolicy Scale application-autoscaling:PutScheduledAction",
    ),
    "training on EC2": (
        "plugins/amazon_ml/operators/ec2_training.py",
        "AirflowEc2Policy LaunchInstances ec2:RunInstances",
        "AirflowEc2Policy LaunchVolumes ec2:RunInstances",
        "AirflowEc2Policy LaunchWith ec2:RunInstances",
        "AirflowEc2Policy UseOwnSecurityGroups ec2:RunInstances",
        "AirflowEc2Policy CommandInstances ssm:SendCommand",
        "AirflowEc2Policy CommandByShell ssm:SendCommand",
        "AirflowEc2Policy List ssm:GetCommandInvocation",
        "AirflowEc2Policy List ssm:ListCommands",
    ),
    "an instance that trains, looked at": (
        "plugins/amazon_ml/instance_status.py",
        "AirflowEc2Policy List ssm:DescribeInstanceInformation",
        "AirflowEc2Policy List ssm:ListCommandInvocations",
    ),
    "what an instance is launched with": (
        "include/pipeline/ec2_launch.py",
        "AirflowEc2Policy MakeSecurityGroups ec2:CreateSecurityGroup",
        "AirflowEc2Policy InAnyVpc ec2:CreateSecurityGroup",
        "AirflowEc2Policy ReadAmiParameters ssm:GetParameter",
        "AirflowEc2Policy ReadAmiParameters ssm:GetParametersByPath",
        "AirflowEc2Policy List ec2:DescribeImages",
        "AirflowEc2Policy List ec2:DescribeSubnets",
        "AirflowEc2Policy List ec2:DescribeVpcs",
    ),
    "the log of an instance that trains, and of a job": (
        "plugins/amazon_ml/job_logs.py",
        "AirflowEc2Policy Logs logs:GetLogEvents",
    ),
    "quotas of a run that trains on EC2": (
        "include/pipeline/quotas.py",
        "AirflowEc2Policy ReadQuotas servicequotas:GetServiceQuota",
    ),
    "the workspace's notebook": (
        "include/workspace/workspace.py",
        "WorkspaceRole Objects s3:GetObject",
        "WorkspaceRole Objects s3:PutObject",
        "WorkspaceRole Train sagemaker:CreateTrainingJob",
        "WorkspaceRole Read sagemaker:DescribeHyperParameterTuningJob",
        "WorkspaceRole Read sagemaker:DescribeTrainingJob",
        "WorkspaceRole Read sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        "WorkspaceRole List sagemaker:ListHyperParameterTuningJobs",
    ),
    "the workspace's idle stop": (
        "include/workspace/idle_stop.py",
        "WorkspaceRole Use sagemaker:StopNotebookInstance",
    ),
    "objects of an instance that trains": (
        "include/classifier/image_classifier/instance_storage.py",
        "TrainingInstanceRole Objects s3:PutObject",
    ),
}
"""The product's code calls them: the first is the file, which a test looks into, then policy, statement and action."""

NEEDED_BESIDES: dict[str, tuple[str, ...]] = {
    UPLOAD: (
        "AirflowPolicy Objects s3:AbortMultipartUpload",
        "SageMakerRole Objects s3:AbortMultipartUpload",
        "WorkspaceRole Objects s3:AbortMultipartUpload",
        "TrainingInstanceRole Objects s3:AbortMultipartUpload",
    ),
    "SageMaker may look for the region of the bucket: AmazonSageMakerFullAccess has it": (
        "SageMakerRole Bucket s3:GetBucketLocation",
        "WorkspaceRole Bucket s3:GetBucketLocation",
    ),
    "a listing by boto3, aws s3 or obstore": (
        "WorkspaceRole Bucket s3:ListBucket",
        "TrainingInstanceRole Bucket s3:ListBucket",
    ),
    "download_file and the paginators of boto3": ("TrainingInstanceRole Objects s3:GetObject",),
    LOGS_OF_SAGEMAKER: (
        "SageMakerRole Logs logs:DescribeLogStreams",
        "WorkspaceRole Logs logs:CreateLogGroup",
        "WorkspaceRole Logs logs:CreateLogStream",
        "WorkspaceRole Logs logs:DescribeLogStreams",
        "WorkspaceRole Logs logs:PutLogEvents",
    ),
    "SageMaker publishes the metrics of jobs and endpoints with their role": (
        "SageMakerRole Metrics cloudwatch:PutMetricData",
    ),
    "an update of an endpoint reads its alarms with the role of the endpoint": (
        "SageMakerRole Alarms cloudwatch:DescribeAlarms",
    ),
    PULLS: (
        "SageMakerRole ContainerRegistryLogin ecr:GetAuthorizationToken",
        "SageMakerRole ContainerImages ecr:BatchCheckLayerAvailability",
        "SageMakerRole ContainerImages ecr:BatchGetImage",
        "SageMakerRole ContainerImages ecr:GetDownloadUrlForLayer",
    ),
    "GetFunction shows tags to those alone who may list them: "
    "https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html": (
        "AirflowServingPolicy Read lambda:ListTags",
    ),
    LINKED: ("AirflowEc2Policy ServiceRoleForSpot iam:CreateServiceLinkedRole",),
    "RunInstances and CreateSecurityGroup with tags, and with an instance profile, ask for them": (
        "AirflowEc2Policy TagWhatIsMade ec2:CreateTags",
        "AirflowEc2Policy GiveInstancesTheirRole iam:PassRole",
    ),
    "an instance that trains writes its log by Systems Manager's agent": (
        "TrainingInstanceRole Logs logs:CreateLogGroup",
        "TrainingInstanceRole Logs logs:CreateLogStream",
        "TrainingInstanceRole Logs logs:DescribeLogStreams",
        "TrainingInstanceRole Logs logs:PutLogEvents",
        "TrainingInstanceRole FindLogs logs:DescribeLogGroups",
    ),
    AGENT: (
        "TrainingInstanceRole TakeCommands ec2messages:AcknowledgeMessage",
        "TrainingInstanceRole TakeCommands ec2messages:DeleteMessage",
        "TrainingInstanceRole TakeCommands ec2messages:FailMessage",
        "TrainingInstanceRole TakeCommands ec2messages:GetEndpoint",
        "TrainingInstanceRole TakeCommands ec2messages:GetMessages",
        "TrainingInstanceRole TakeCommands ec2messages:SendReply",
        "TrainingInstanceRole TakeCommands ssm:UpdateInstanceInformation",
        "TrainingInstanceRole TakeCommands ssmmessages:CreateControlChannel",
        "TrainingInstanceRole TakeCommands ssmmessages:CreateDataChannel",
        "TrainingInstanceRole TakeCommands ssmmessages:OpenControlChannel",
        "TrainingInstanceRole TakeCommands ssmmessages:OpenDataChannel",
    ),
    WHAT_A_PERSON_DOES: (
        "WorkspaceRole Use lambda:InvokeFunction",
        "WorkspaceRole Use sagemaker:InvokeEndpoint",
        "WorkspaceRole Use sagemaker:StopTrainingJob",
        "WorkspaceRole List sagemaker:ListTrainingJobs",
        "WorkspaceRole Logs logs:GetLogEvents",
    ),
    "CreateTrainingJob by the notebook, with tags and with the role of jobs, asks for them": (
        "WorkspaceRole TagWhatIsMade sagemaker:AddTags",
        "WorkspaceRole GiveJobsTheirRole iam:PassRole",
    ),
}
"""By reason: AWS asks for them with another call, or calls with a role itself, or a person calls."""

METHODS = {
    "iam:PassRole": None,
    "lambda:InvokeFunction": "invoke",
    "s3:DeleteObject": "delete_objects",
    "s3:PutObject": "put_object|upload_fileobj",
}
"""The method of boto3, where it is not named as the action is."""


def reasons() -> dict[tuple[str, str, str], str]:
    """Return the reason of each permission: policy, statement, action."""
    listed = [(f"{rows[0]}: {what}", rows[1:]) for what, rows in CALLED.items()]
    found = {}
    for reason, rows in [*listed, *NEEDED_BESIDES.items()]:
        for row in rows:
            policy, statement, action = row.split()
            assert (policy, statement, action) not in found, f"{row} is listed twice"
            found[policy, statement, action] = reason
    return found
