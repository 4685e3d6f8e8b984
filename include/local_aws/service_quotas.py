"""Service Quotas, as far as preflight reads them: the quotas of SageMaker's instances, and of EC2's vCPUs.

They are not enforced. LOCAL_AWS_QUOTAS, a JSON object, sets values by name or code: ``{"L-DB2E81BA": 0}``.
"""

import hashlib
import json
import os
from functools import partial

from werkzeug.wrappers import Request, Response

from include.local_aws.config import ACCOUNT_ID, Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import JsonOperations, Members, page, target_operation
from include.local_aws.service_models import check_request, operation_model

VARIABLE = "LOCAL_AWS_QUOTAS"
VALUE = 1000.0
TARGET = "ServiceQuotasV20190624."
PAGE = 100
# The use that a quota limits, and the enumeration of botocore that lists its instance types.
USES = {
    "endpoint usage": ("CreateEndpointConfig", "ProductionVariantInstanceType"),
    "notebook instance usage": ("CreateNotebookInstance", "InstanceType"),
    "processing job usage": ("CreateProcessingJob", "ProcessingInstanceType"),
    "spot training job usage": ("CreateTrainingJob", "TrainingInstanceType"),
    "training job usage": ("CreateTrainingJob", "TrainingInstanceType"),
    "training warm pool usage": ("CreateTrainingJob", "TrainingInstanceType"),
}
OF_EC2 = {
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-417A185B": "Running On-Demand P instances",
    "L-3819A6DF": "All G and VT Spot Instance Requests",
    "L-7212CCBC": "All P4, P3 and P2 Spot Instance Requests",
}


class ServiceQuotas:
    """ListServiceQuotas and GetServiceQuota of one region for ``sagemaker`` and ``ec2``; moto answers the rest."""

    def __init__(self, config: Config) -> None:
        self._region = config.region
        self._values: dict[str, float] = json.loads(os.environ.get(VARIABLE, "{}"))
        self._names = {"sagemaker": _of_sagemaker(), "ec2": OF_EC2}
        self.operations = JsonOperations(
            TARGET,
            {"ListServiceQuotas": self._list, "GetServiceQuota": self._get},
            partial(check_request, "service-quotas"),
        )

    @staticmethod
    def concerns(request: Request) -> bool:
        """Return whether a request is for Service Quotas."""
        return target_operation(request, TARGET) != ""

    def respond(self, request: Request) -> Response | None:
        """Answer the two operations."""
        return self.operations.respond(request)

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""

    def _list(self, request: Members) -> Members:
        service = request["ServiceCode"]
        if service not in self._names:
            raise AwsError("NoSuchResourceException", f"Local AWS has no quotas of the service {service}.")
        return page("Quotas", self._quotas(service), request, PAGE, "InvalidPaginationTokenException")

    def _get(self, request: Members) -> Members | None:
        service, code = request["ServiceCode"], request["QuotaCode"]
        if service not in self._names:
            return None  # moto has quotas of other services
        for quota in self._quotas(service):
            if quota["QuotaCode"] == code:
                return {"Quota": quota}
        raise AwsError("NoSuchResourceException", f"The quota {code} does not exist.")

    def _quotas(self, service: str) -> list[Members]:
        return [self._quota(service, code, name) for code, name in self._names[service].items()]

    def _quota(self, service: str, code: str, name: str) -> Members:
        return {
            "ServiceCode": service,
            "ServiceName": {
                "sagemaker": "Amazon SageMaker",
                "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
            }[service],
            "QuotaArn": f"arn:aws:servicequotas:{self._region}:{ACCOUNT_ID}:{service}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": float(self._values.get(name, self._values.get(code, VALUE))),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


def _of_sagemaker() -> dict[str, str]:
    """Return the names by codes that are invented: AWS publishes the codes in no model."""
    names = (f"{kind} for {use}" for use, where in USES.items() for kind in _instance_types(*where))
    return {f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}": name for name in names}


def _instance_types(operation: str, shape: str) -> list[str]:
    model = operation_model("sagemaker", operation).service_model
    return list(model.shape_for(shape).enum)
