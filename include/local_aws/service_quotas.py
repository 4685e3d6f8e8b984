"""Service Quotas, as far as preflight reads it: the quotas of SageMaker's instances, and of EC2's vCPUs.

Nothing is limited by them. LOCAL_AWS_QUOTAS, a JSON object, sets values by name or code: ``{"L-DB2E81BA": 0}``.
"""

import hashlib
import json
import os
from typing import Any

from werkzeug.wrappers import Request, Response

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError
from include.local_aws.gateway import json_response
from include.local_aws.service_models import check_request, operation_model

VARIABLE = "LOCAL_AWS_QUOTAS"
VALUE = 1000.0
TARGET = "ServiceQuotasV20190624."
PAGE = 100
# What a quota is for, and the enumeration of botocore that lists its instance types.
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
    """Answers ListServiceQuotas and GetServiceQuota for ``sagemaker`` and ``ec2``; the rest is moto's."""

    def __init__(self) -> None:
        self._values: dict[str, float] = json.loads(os.environ.get(VARIABLE, "{}"))
        self._names = {"sagemaker": _of_sagemaker(), "ec2": OF_EC2}

    def respond(self, request: Request) -> Response | None:
        """Answer the two operations."""
        target = request.headers.get("X-Amz-Target", "")
        if not target.startswith(TARGET):
            return None
        operation, given = target.removeprefix(TARGET), json.loads(request.get_data() or b"{}")
        if operation not in ("ListServiceQuotas", "GetServiceQuota"):
            return None
        check_request("service-quotas", operation, given)
        region = request.headers.get("Authorization", "").partition("Credential=")[2].split("/")[2:3]
        service = given["ServiceCode"]
        if service not in self._names:
            if operation == "GetServiceQuota":
                return None  # moto knows some of them
            raise AwsError("NoSuchResourceException", f"Local AWS has no quotas of the service {service}.")
        quotas = [self._quota(service, code, name, region) for code, name in self._names[service].items()]
        if operation == "GetServiceQuota":
            return self._get(given["QuotaCode"], quotas)
        begin = int(given.get("NextToken", 0))
        end = begin + given.get("MaxResults", PAGE)
        answer: dict[str, Any] = {"Quotas": quotas[begin:end]}
        return json_response(answer | ({"NextToken": str(end)} if end < len(quotas) else {}))

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""

    def _get(self, code: str, quotas: list[dict[str, Any]]) -> Response:
        for quota in quotas:
            if quota["QuotaCode"] == code:
                return json_response({"Quota": quota})
        raise AwsError("NoSuchResourceException", f"The quota {code} does not exist.")

    def _quota(self, service: str, code: str, name: str, region: list[str]) -> dict[str, Any]:
        return {
            "ServiceCode": service,
            "ServiceName": {
                "sagemaker": "Amazon SageMaker",
                "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
            }[service],
            "QuotaArn": f"arn:aws:servicequotas:{''.join(region)}:{ACCOUNT_ID}:{service}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": float(self._values.get(name, self._values.get(code, VALUE))),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


def _of_sagemaker() -> dict[str, str]:
    """Return the names by codes that are made up: AWS's are in no public model."""
    names = (f"{kind} for {use}" for use, where in USES.items() for kind in _instance_types(*where))
    return {f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}": name for name in names}


def _instance_types(operation: str, shape: str) -> list[str]:
    model = operation_model("sagemaker", operation).service_model
    return list(model.shape_for(shape).enum)
