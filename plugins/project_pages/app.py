"""The FastAPI application that serves the pages of projects from S3 to users who may read the project's DAG."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from airflow.api_fastapi.app import API_ROOT_PATH
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException

from include.pipeline import page_urls
from project_pages import storage, workspaces
from project_pages.errors import PageError

AIRFLOW = API_ROOT_PATH.rstrip("/")
"""The path of Airflow on its host; empty if it has none."""
HEADERS = {
    # Whatever a page contains, no script runs, and nothing is loaded from other hosts. Inline styles are allowed, since
    # they differ from page to page. They can't leak data without external images and fonts.
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The browser may store a page, but shows it only after Airflow has checked the permission again.
    "Cache-Control": "private, no-cache",
}
INVALID_TOKEN = "Invalid JWT token"  # noqa: S105 - Airflow's message for a cookie that another installation has signed
TITLES = {
    HTTPStatus.FORBIDDEN: "You are not allowed to see this page",
    HTTPStatus.NOT_FOUND: "Page not found",
    HTTPStatus.CONFLICT: "The workspace can't be opened now",
    HTTPStatus.BAD_GATEWAY: "The page can't be read",
    HTTPStatus.SERVICE_UNAVAILABLE: "The page can't be read now",
}

app = FastAPI(
    title="Pages of projects", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
)
templates = Jinja2Templates(Path(__file__).parent / "templates")


def may_read(request: Request, project: str, user: GetUserDep) -> None:
    """Require permission to read the DAG that creates the pages."""
    dag_id = f"{project}.train_and_deploy"
    _require(
        requires_access_dag("GET", None, dag_id), request, user, f"Your user may not read the DAG {dag_id}."
    )


def may_open_workspace(request: Request, project: str, user: GetUserDep) -> None:
    """Require permission to trigger the DAG that creates the workspace."""
    dag_id, run = f"{project}.workspace", DagAccessEntity.RUN
    _require(
        requires_access_dag("POST", run, dag_id),
        request,
        user,
        f"Your user may not trigger the DAG {dag_id}.",
    )


def _require(check: Callable[[Request, Any], None], request: Request, user: Any, refusal: str) -> None:
    try:
        check(request, user)
    except HTTPException as error:
        raise PageError(
            HTTPStatus.FORBIDDEN, f"{refusal} Ask an administrator of Airflow for access."
        ) from error


# The routes are not async, so that FastAPI runs them, and their boto3 calls, in threads.
@app.get("/{project}/reports/{path:path}", dependencies=[Depends(may_read)])
def show_page(request: Request, project: str, path: str) -> Response:
    """Return a page of a project, or an image of a page."""
    content_type = page_urls.content_type(path)
    if not page_urls.PROJECT.fullmatch(project) or content_type is None:
        raise PageError(
            HTTPStatus.NOT_FOUND,
            "This is not the URL of a report. Open reports through the links of tasks in Airflow.",
        )
    found = storage.open_page(project, path)
    headers = {**HEADERS, "ETag": found.etag}
    known = request.headers.get("if-none-match", "")
    if found.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        found.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers |= {"Content-Type": content_type, "Content-Length": str(found.size)}
    return StreamingResponse(found.chunks(), headers=headers)


@app.get("/{project}/workspace", dependencies=[Depends(may_open_workspace)])
def open_workspace(project: str) -> Response:
    """Redirect to the JupyterLab of a workspace on local AWS, with its token."""
    return RedirectResponse(
        workspaces.signed_in_url(project), headers={**HEADERS, "Cache-Control": "no-store"}
    )


@app.exception_handler(HTTPException)
def explain(request: Request, error: HTTPException) -> Response:
    """Redirect users who are not signed in to the login page, and explain any other error."""
    status = HTTPStatus(error.status_code)
    if error.detail == INVALID_TOKEN:
        status = HTTPStatus.UNAUTHORIZED
    if "text/html" not in request.headers.get("accept", ""):  # a program or an image
        return JSONResponse({"detail": error.detail}, status, headers=HEADERS)
    if status == HTTPStatus.UNAUTHORIZED:
        login = f"{AIRFLOW}/api/v2/auth/login?{urlencode({'next': quote(request.url.path)})}"
        return RedirectResponse(login, headers={**HEADERS, "Cache-Control": "no-store"})
    project = request.path_params.get("project", "")
    dag_id = f"{project}.train_and_deploy" if page_urls.PROJECT.fullmatch(project) else ""
    shown = {
        "title": TITLES.get(status, status.phrase),
        "message": error.detail,
        "dag_id": dag_id,
        "back": f"{AIRFLOW}/dags/{dag_id}" if dag_id and status != HTTPStatus.FORBIDDEN else "",
    }
    return templates.TemplateResponse(request, "message.html", shown, status, headers=HEADERS)
