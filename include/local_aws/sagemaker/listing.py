"""The List operations: filters, order and pages."""

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker import validation
from include.local_aws.sagemaker.documents import Document, Documents, Kind
from include.local_aws.service_models import shown

_DEFAULT_PAGE = 100


def list_documents(documents: Documents, kind: Kind, request: Document) -> Document:
    """Answer ``List<Kind>s``."""
    operation = f"List{kind.name}s"
    member, shape = validation.summary_member(operation)
    # With MaxResults, the page of a job list is taken first and filtered by status then: it may be empty, with a token.
    later = {"StatusEquals"} & request.keys() if kind.is_job and "MaxResults" in request else set()
    first = {member: value for member, value in request.items() if member not in later}
    found = [document for document in documents.all(kind) if _matches(document, kind, first)]
    order = {"Name": kind.name_member, "Status": kind.status_member}.get(
        request.get("SortBy", ""), "CreationTime"
    )
    default = "Descending" if kind.newest_first else "Ascending"
    found.sort(
        key=lambda document: document[order], reverse=request.get("SortOrder", default) == "Descending"
    )
    answer = page(member, found, request)
    answer[member] = [shown(each, shape) for each in answer[member] if _matches(each, kind, request)]
    return answer


def page(member: str, items: list[Document], request: Document) -> Document:
    """Return the page of items that a request asks for; the token of the next is its position."""
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise AwsError("ValidationException", f"The token {token!r} is none of this list's.")
    start, size = int(token), request.get("MaxResults", _DEFAULT_PAGE)
    answer: Document = {member: items[start : start + size]}
    if start + size < len(items):
        answer["NextToken"] = str(start + size)
    return answer


def _matches(document: Document, kind: Kind, request: Document) -> bool:
    if request.get("NameContains", "") not in document[kind.name_member]:
        return False
    if "StatusEquals" in request and request["StatusEquals"] != document[kind.status_member]:
        return False
    pool = document.get("WarmPoolStatus", {}).get("Status")
    if "WarmPoolStatusEquals" in request and request["WarmPoolStatusEquals"] != pool:
        return False
    return all(
        request.get(f"{time}After", 0) <= document[time] <= request.get(f"{time}Before", float("inf"))
        for time in ("CreationTime", "LastModifiedTime")
    )
