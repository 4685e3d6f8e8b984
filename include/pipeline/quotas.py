"""Check with Service Quotas that a run can start the instances that it needs.

The names of SageMaker quotas and the codes of EC2 quotas are those that ``aws service-quotas list-service-quotas``
shows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from include.pipeline.errors import PermanentError
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

SAGEMAKER, EC2 = "sagemaker", "ec2"
# By the first letter of the family and whether it is a spot instance. P5 and P6 have separate spot quotas.
EC2_QUOTAS = {
    ("g", False): "L-DB2E81BA",
    ("p", False): "L-417A185B",
    ("g", True): "L-3819A6DF",
    ("p4", True): "L-7212CCBC",
}
VCPUS_OF_XLARGE = 4


class QuotaError(PermanentError):
    """Raised if AWS is certain to refuse an instance; the message says what to change."""


class Need(NamedTuple):
    """What a run needs of a quota.

    :param key: the key of the project file that decides it.
    :param quota: the name of a SageMaker quota, or the code of an EC2 quota.
    :param least: with less, AWS refuses to start the instances.
    :param best: with less, something is slower or may fail later.
    :param why: what ``best`` is needed for.
    """

    key: str
    quota: str
    least: float
    best: float
    why: str = ""

    @property
    def service(self) -> str:
        return EC2 if self.quota.startswith("L-") else SAGEMAKER


def needs(project: Project, train_on: str, instance_count: int) -> Iterator[Need]:
    """Yield what a run needs of each quota. Jobs of one kind run one after another.

    :param train_on: ``sagemaker`` or ``ec2``, a param of the run.
    :param instance_count: the number of training instances, a param of the run.
    """
    tuning, training, endpoint = project.tuning, project.training, project.endpoint
    kept = f"{project.processing.instance_type} for processing job usage"
    yield Need("processing.instance_type", kept, 1, 1)
    trials = tuning.max_parallel_jobs
    yield Need("tuning.max_parallel_jobs", _training(tuning.instance_type, tuning.spot), trials, trials)
    if train_on == EC2:
        yield from _of_instance(project.ec2.instance_type, project.ec2.spot)
    else:
        count = instance_count
        yield Need("training.instance_count", _training(training.instance_type, training.spot), count, count)
        if training.keep_alive_minutes:
            pool = f"{training.instance_type} for training warm pool usage"
            yield Need("training.keep_alive_minutes", pool, 0, count, "keeping the instances warm")
    least = endpoint.min_instances
    best, why = max(
        (endpoint.max_instances, "scaling to endpoint.max_instances"),
        (2 * least, "a release, which starts new instances next to the live ones"),
    )
    yield Need("endpoint.min_instances", f"{endpoint.instance_type} for endpoint usage", least, best, why)


def _training(instance_type: str, spot: bool) -> str:
    return f"{instance_type} for {'spot training' if spot else 'training'} job usage"


def _of_instance(instance_type: str, spot: bool) -> Iterator[Need]:
    """Yield the vCPUs of an EC2 instance: an xlarge has 4, and a number before ``xlarge`` multiplies them."""
    size = re.fullmatch(r"([a-z]\d?)[a-z0-9-]*\.(\d*)xlarge", instance_type)
    if size is None:
        return
    family, times = size.groups()
    code = EC2_QUOTAS.get((family, spot)) or EC2_QUOTAS.get((family[0], spot))
    if code:
        vcpus = VCPUS_OF_XLARGE * int(times or 1)
        yield Need("ec2.instance_type", code, vcpus, vcpus)


def check(
    project: Project,
    train_on: str,
    instance_count: int,
    service_quotas: Any,
    progress: Callable[[str], None] = log.warning,
) -> None:
    """Check that each quota suffices for the run alone. Other current use of the quota is not known.

    A quota that can't be read is reported to ``progress`` and not checked.

    :param service_quotas: a boto3 client.
    :raises QuotaError: if a quota is too small; the message names each of them.
    """
    region = service_quotas.meta.region_name
    wanted = list(needs(project, train_on, instance_count))
    try:
        found = _values(service_quotas, wanted)
    except (ClientError, BotoCoreError) as error:
        progress(
            f"The quotas of instances are not checked: {error}. If a permission is missing, deploy "
            "include/infrastructure/stack.yaml again: its policies allow reading them."
        )
        return
    short = [need for need in wanted if need.quota in found and found[need.quota][1] < need.least]
    if short:
        raise QuotaError(
            f"The quotas of this account in {region} are too small for the run. "
            + " ".join(_asks(need, found[need.quota][1], found[need.quota][0]) for need in short)
        )
    for need in wanted:
        if need.quota not in found:
            progress(f"Service Quotas has no quota {need.quota!r} in {region}. {need.key} is not checked.")
        elif (value := found[need.quota][1]) < need.best:
            progress(f"The quota {need.quota!r} in {region} is {value:g}, which is too small for {need.why}.")


def _asks(need: Need, value: float, code: str) -> str:
    unit = " vCPUs" if need.service == EC2 else ""
    name = f"{need.quota!r} of EC2" if need.service == EC2 else repr(need.quota)
    return (
        f"{need.key} needs {need.least:g}{unit}, but the quota {name} is {value:g}. Choose another instance type, or "
        f"request an increase: aws service-quotas request-service-quota-increase --service-code {need.service} "
        f"--quota-code {code} --desired-value {need.best:g}."
    )


def _values(service_quotas: Any, wanted: list[Need]) -> dict[str, tuple[str, float]]:
    """Return code and value of each needed quota that has a value, by its name (SageMaker) or its code (EC2)."""
    found: dict[str, tuple[str, float]] = {}
    names = {need.quota for need in wanted if need.service == SAGEMAKER}
    pages = service_quotas.get_paginator("list_service_quotas").paginate(
        ServiceCode=SAGEMAKER, PaginationConfig={"PageSize": 100}
    )
    for page in pages:
        found |= {
            quota["QuotaName"]: (quota["QuotaCode"], quota["Value"])
            for quota in page["Quotas"]
            if quota["QuotaName"] in names
        }
        if found.keys() >= names:
            break
    for code in {need.quota for need in wanted if need.service == EC2}:
        try:
            quota = service_quotas.get_service_quota(ServiceCode=EC2, QuotaCode=code)["Quota"]
        except service_quotas.exceptions.NoSuchResourceException:
            continue
        found[code] = (code, quota["Value"])
    return found
