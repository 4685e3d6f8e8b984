"""Answers of AWS as the weather changes them: errors in each protocol, and lists without what is too new."""

from collections.abc import Container
from xml.etree import ElementTree

from moto.core.request import determine_request_protocol
from moto.core.utils import get_service_model
from werkzeug.wrappers import Response

from include.local_aws.errors import AwsError
from include.local_aws.gateway import error_response


def refusal(service: str, content_type: str, error: AwsError) -> Response:
    """Return an error in the protocol of the request."""
    model = get_service_model(service)
    response = error_response(error, determine_request_protocol(model, content_type), service)
    if "awsQueryCompatible" in model.metadata and response.is_json:
        response.headers["x-amzn-query-error"] = f"{error.code};Sender"
    return response


def instance_ids(body: bytes) -> list[str]:
    """Return the ids of the instances in EC2's answer."""
    return [each.text or "" for each in _parse(body).iter() if _name(each) == "instanceId"]


def group_id(body: bytes) -> str:
    """Return the id of the security group that EC2 has made."""
    return next(each.text or "" for each in _parse(body).iter() if _name(each) == "groupId")


def without_instances(body: bytes, hidden: Container[str]) -> bytes:
    """Return EC2's answer of DescribeInstances without some instances."""
    root = _parse(body)
    ElementTree.register_namespace("", root.tag[1:].partition("}")[0])
    for reservations in (each for each in root if _name(each) == "reservationSet"):
        for reservation in list(reservations):
            for instances in (each for each in reservation if _name(each) == "instancesSet"):
                for instance in list(instances):
                    if any(_name(each) == "instanceId" and each.text in hidden for each in instance):
                        instances.remove(instance)
                if not len(instances):
                    reservations.remove(reservation)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _parse(body: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(body)  # noqa: S314 - it is this server's own answer


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
