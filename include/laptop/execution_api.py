"""Let Airflow's Execution API answer only clients of Airflow's own version.

Airflow makes the routes of all nine versions of this API, which takes each API server, triggerer and process that runs
tasks itself five seconds of processor time. In a stack on one machine, all clients have the version of the server.
"""

from __future__ import annotations

from airflow.api_fastapi.execution_api import versions
from airflow.api_fastapi.execution_api.routes import execution_api_router
from cadwyn import HeadVersion, Version, VersionBundle
from cadwyn.route_generation import _DELETED_ROUTE_TAG


def keep_newest_version() -> None:
    """Leave out the other versions, and the routes that only they have, from each API that is created afterward."""
    versions.bundle = VersionBundle(HeadVersion(), Version(versions.bundle.version_values[0]))
    execution_api_router.routes[:] = [
        route for route in execution_api_router.routes if _DELETED_ROUTE_TAG not in getattr(route, "tags", ())
    ]
