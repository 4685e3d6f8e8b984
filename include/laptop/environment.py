"""The environment variables of Airflow's components, their tasks and local AWS on a laptop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from include.laptop.credentials import ADMIN, VIEWER, Keys
from include.laptop.stack_paths import REPOSITORY, StackPaths
from include.pipeline.target import TARGET_VARIABLE

REGION = "us-east-1"
AIRFLOW_CONFIG = REPOSITORY / "include" / "laptop" / "airflow_config"
# Every process of a stack has this variable with its state folder, by which `down` finds remaining processes.
MARKER = "IMAGE_CLASSIFIER_LAPTOP"
# The user's own settings must not affect the stack, in particular the credentials of an AWS account.
NOT_INHERITED = ("AWS_", "AIRFLOW", "SM_", "SAGEMAKER_", "MAKE", "MFLAGS", "PYTHON", "PYTEST_", "MOTO_")


def stack_environment(paths: StackPaths, keys: Keys, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the complete environment of a stack's processes, derived from the user's environment (`inherited`)."""
    environment = {
        name: value for name, value in inherited.items() if not name.startswith(NOT_INHERITED)
    }  # fmt: skip
    environment["PATH"] = os.pathsep.join(
        [os.path.join(sys.prefix, "bin"), inherited.get("PATH", os.defpath)]
    )
    # The user's proxy is for downloads, not for connections on this machine.
    no_proxy = ",".join(filter(None, [inherited.get("NO_PROXY"), "127.0.0.1,localhost"]))
    return {
        **environment,
        MARKER: str(paths.state_dir),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONPATH": os.pathsep.join(map(str, [REPOSITORY, AIRFLOW_CONFIG])),
        "PYTHONUNBUFFERED": "1",
        # Airflow renames its processes. Without this setting, the new name overwrites the marker.
        "SPT_NOENV": "1",
        # Without this setting, macOS kills tasks, since Airflow forks them from a process with threads.
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        **airflow_settings(paths, keys),
        **aws_settings(paths),
    }


def aws_settings(paths: StackPaths) -> dict[str, str]:
    """Return the settings that point every AWS client to local AWS, and none to an account of the user."""
    return {
        TARGET_VARIABLE: "local",
        "AWS_ENDPOINT_URL": paths.aws_url,
        # Different from the user's key, so that local AWS can distinguish the user's calls from those of Airflow.
        "AWS_ACCESS_KEY_ID": "local-airflow",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def airflow_settings(paths: StackPaths, keys: Keys) -> dict[str, str]:
    """Return Airflow's settings: loopback only, SQLite, few processes, and new DAGs within 10 s."""
    return {
        # Empty, since clients use the variables of `aws_settings`. Without a connection, each task logs a warning.
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "AIRFLOW_HOME": str(paths.airflow_home),
        "AIRFLOW__API__BASE_URL": paths.airflow_url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(paths.airflow_port),
        "AIRFLOW__API__SECRET_KEY": keys.api_secret_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": keys.jwt_secret,
        # With airflow_local_settings.py: tasks, forked from the scheduler, need not parse what it has parsed.
        "AIRFLOW__AWS__SESSION_FACTORY": "amazon_ml.hooks.session.SharedLoaderSessionFactory",
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{paths.airflow_url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": keys.fernet_key,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(paths.passwords_file),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{VIEWER}:viewer",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        # Seconds. A task can't renew an expired token: it is lost if the laptop sleeps longer (apache/airflow#67939).
        "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "86400",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(paths.airflow_home / "logs"),
        # A killed scheduler leaves tasks queued or running. The next scheduler adopts them when it starts, but this is
        # too early: the killed one is considered dead 30 s after its last heartbeat. The default interval is 300 s.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    }
