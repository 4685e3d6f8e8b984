"""The List operations: filters, order and pages."""

from include.local_aws.operations import page
from include.local_aws.sagemaker import validation
from include.local_aws.sagemaker.documents import Document, Documents, Kind
from include.local_aws.service_models import shown

PAGE = 10
"""The default that AWS documents for endpoints, tuning jobs and their training jobs, and shows for training jobs."""


def list_documents(documents: Documents, kind: Kind, request: Document) -> Document:
    """Answer ``List<Kind>s``."""
    operation = f"List{kind.name}s"
    member, shape = validation.summary_member(operation)
    # With MaxResults, the page of a job list is taken first and filtered by status then: it may be empty, with a token.
    later = {"StatusEquals"} & request.keys() if kind.is_job and "MaxResults" in request else set()
    first = {member: value for member, value in request.items() if member not in later}
    found = [document for document in documents.all(kind) if _matches(document, kind, first)]
    sort_by: str = request.get("SortBy", kind.sorted_by)
    order = {"Name": kind.name_member, "Status": kind.status_member}.get(sort_by, sort_by)
    default = "Descending" if kind.newest_first else "Ascending"
    found.sort(
        key=lambda document: document[order], reverse=request.get("SortOrder", default) == "Descending"
    )
    answer = page(member, found, request, PAGE)
    answer[member] = [shown(each, shape) for each in answer[member] if _matches(each, kind, request)]
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
