"""Airflow finds the plugin, and it is fast to load in components that serve no pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from airflow import plugins_manager

REPOSITORY = Path(__file__).parents[2]


def test_airflow_finds_the_pages_and_links() -> None:
    plugins, errors = plugins_manager._get_plugins()  # noqa: SLF001
    assert not errors
    (ours,) = [plugin for plugin in plugins if "project_pages" in str(plugin.source)]
    assert [app["url_prefix"] for app in ours.fastapi_apps] == ["/projects"]
    assert {type(link).__name__ for link in ours.operator_extra_links} == {
        "DataReportLink",
        "EvaluationReportLink",
        "RunReportLink",
        "TuningReportLink",
        "WorkspaceLink",
    }


def test_plugin_imports_no_web_framework_and_no_aws_client() -> None:
    code = (
        "import sys, project_pages_plugin; "
        "assert not {'fastapi', 'starlette', 'boto3'} & set(sys.modules), sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'plugins'}:{REPOSITORY}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
