"""Notebook instances: the operations, and the life of one from its lifecycle scripts to its Jupyter server's end."""

import json
import logging
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.log_streams import LogStream
from include.local_aws.operations import Handler
from include.local_aws.principals import Principal
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import lifecycle_configs, notebook_boot
from include.local_aws.sagemaker.documents import (
    LIFECYCLE_CONFIG,
    NOTEBOOK_INSTANCE,
    Document,
    Documents,
)
from include.local_aws.sagemaker.job_run import in_folder, message

LOG_GROUP = "/aws/sagemaker/NotebookInstances"
HOME = "/home/ec2-user"
KERNEL = "conda_python3"
"""What AWS calls the kernel for Python; here it is the Python of this server."""

_DEFAULTS = {
    "DirectInternetAccess": "Enabled",
    "VolumeSizeInGB": 5,
    "RootAccess": "Enabled",
    "IpAddressType": "ipv4",
    "PlatformIdentifier": "notebook-al2023-v1",
    "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "1"},
}
_CHANGEABLE = (
    "InstanceType",
    "RoleArn",
    "VolumeSizeInGB",
    "RootAccess",
    "IpAddressType",
    "PlatformIdentifier",
    "InstanceMetadataServiceConfiguration",
)
_SCRIPT_SECONDS = 300
_SERVER_SECONDS = 120.0
_UPDATE_SECONDS = 0.3
_END_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.1
_DATA = ".local/share/jupyter"
"""Where Jupyter keeps its own files below the home folder: that of Linux, on any system."""

_log = logging.getLogger(__name__)


class NotebookInstances:
    """All notebook instances of this server; each is a Jupyter server of its own, on 127.0.0.1."""

    def __init__(self, config: Config, children: ChildProcesses, documents: Documents) -> None:
        self._config = config
        self._children = children
        self._documents = documents
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._tokens: dict[str, str] = {}
        self._pool = urllib3.PoolManager()
        self.operations: dict[str, Handler] = {
            "CreateNotebookInstance": self._create,
            "StartNotebookInstance": self._start,
            "StopNotebookInstance": self._stop,
            "UpdateNotebookInstance": self._update,
            "DeleteNotebookInstance": self._delete,
            "CreatePresignedNotebookInstanceUrl": self._create_url,
        }

    def _create(self, request: Document) -> Document:
        self._check_config(request)
        with self._lock:
            instance = self._documents.create(
                NOTEBOOK_INSTANCE,
                {**_DEFAULTS, **request},
                NotebookInstanceStatus="Pending",
                NotebookInstanceLifecycleConfigName=request.get("LifecycleConfigName"),
                SecurityGroups=request.get("SecurityGroupIds"),
            )
        self._in_background(self._live, instance, lifecycle_configs.HOOKS)
        return {"NotebookInstanceArn": instance["NotebookInstanceArn"]}

    def _start(self, request: Document) -> Document:
        instance = self._move(request, ("Stopped", "Failed"), "Pending")
        self._in_background(self._live, instance, lifecycle_configs.HOOKS[1:])
        return {}

    def _stop(self, request: Document) -> Document:
        instance = self._move(request, ("InService",), "Stopping")
        process = self._processes[instance["NotebookInstanceName"]]
        self._in_background(self._children.stop, process, _END_GRACE_SECONDS)
        return {}

    def _update(self, request: Document) -> Document:
        self._check_config(request)
        size = self._get(request)["VolumeSizeInGB"]
        if request.get("VolumeSizeInGB", size) < size:
            raise AwsError("ValidationException", f"The volume of {size} GB cannot be made smaller.")
        instance = self._move(request, ("Stopped", "Failed"), "Updating")
        changes = {member: request[member] for member in _CHANGEABLE if member in request}
        if "LifecycleConfigName" in request or request.get("DisassociateLifecycleConfig"):
            changes[LIFECYCLE_CONFIG.name_member] = request.get("LifecycleConfigName")
        self._in_background(self._change, instance, changes)
        return {}

    def _delete(self, request: Document) -> Document:
        instance = self._move(request, ("Stopped", "Failed"), "Deleting")
        self._in_background(self._remove, instance)
        return {}

    def _create_url(self, request: Document) -> Document:
        instance = self._get(request)
        if instance["NotebookInstanceStatus"] != "InService":
            raise AwsError(
                "ValidationException",
                f"Notebook Instance ({instance['NotebookInstanceArn']}) is "
                f"{instance['NotebookInstanceStatus']}, not InService.",
            )
        # Unlike AWS's it holds for as long as the instance runs: it is the Jupyter server's own.
        token = self._tokens[instance["NotebookInstanceName"]]
        return {"AuthorizedUrl": f"http://{instance['Url']}/lab?token={token}"}

    def _get(self, request: Document) -> Document:
        return self._documents.get(NOTEBOOK_INSTANCE, request["NotebookInstanceName"])

    def _check_config(self, request: Document) -> None:
        if "LifecycleConfigName" in request:
            self._documents.get(LIFECYCLE_CONFIG, request["LifecycleConfigName"])

    def _move(self, request: Document, allowed: tuple[str, ...], status: str) -> Document:
        with self._lock:
            instance = self._get(request)
            now = instance["NotebookInstanceStatus"]
            if now not in allowed:
                raise AwsError(
                    "ValidationException",
                    f"Status ({now}) not in ([{', '.join(allowed)}]). Unable to transition to ({status}) for "
                    f"Notebook Instance ({instance['NotebookInstanceArn']}).",
                )
            self._documents.update(instance, NotebookInstanceStatus=status, FailureReason=None)
        return instance

    def _in_background(self, work: Callable[..., Any], *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _change(self, instance: Document, changes: Document) -> None:
        time.sleep(_UPDATE_SECONDS)
        self._documents.update(instance, **changes, NotebookInstanceStatus="Stopped")

    def _remove(self, instance: Document) -> None:
        shutil.rmtree(self._folder(instance), ignore_errors=True)
        self._documents.delete(NOTEBOOK_INSTANCE, instance["NotebookInstanceName"])

    def _live(self, instance: Document, hooks: tuple[str, ...]) -> None:
        """Bring an instance into service, and note how it ended."""
        name, reason = instance["NotebookInstanceName"], None
        try:
            process = self._processes[name] = self._boot(instance, hooks)
            if self._serves(instance, process):
                self._documents.update(instance, NotebookInstanceStatus="InService")
            self._children.wait(process)
        except Exception as error:
            _log.exception("Notebook instance %s failed", name)
            reason = f"InternalServerError: {error}"
        if self._children.closed:
            return
        if instance["NotebookInstanceStatus"] == "Stopping":
            self._documents.update(instance, NotebookInstanceStatus="Stopped")
        else:
            self._documents.update(
                instance, NotebookInstanceStatus="Failed", FailureReason=reason or self._reason(instance)
            )

    def _boot(self, instance: Document, hooks: tuple[str, ...]) -> "subprocess.Popen[str]":
        """Start the lifecycle scripts and the Jupyter server after them."""
        name, folder = instance["NotebookInstanceName"], self._folder(instance)
        home = folder / HOME.lstrip("/")
        (home / "SageMaker").mkdir(parents=True, exist_ok=True)
        _forget_all_but_the_volume(folder, home)
        self._write_kernel(home)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._tokens[name] = secrets.token_hex(24)
        self._documents.update(instance, Url=f"127.0.0.1:{port}")
        return self._children.start(
            [
                self._config.python,
                "-P",
                notebook_boot.__file__,
                str(folder),
                str(port),
                str(_SCRIPT_SECONDS),
                *self._write_scripts(instance, hooks, folder, home),
            ],
            env=self._environment(home, self._tokens[name]),
            cwd=home,
            on_line=_Log(self._config, name).write,
        )

    def _write_scripts(
        self, instance: Document, hooks: tuple[str, ...], folder: Path, home: Path
    ) -> list[str]:
        """Write the scripts of these hooks that there are, with the home folder's path put in its place."""
        config = instance.get(LIFECYCLE_CONFIG.name_member)
        if config is None:
            return []
        found = lifecycle_configs.scripts(self._documents.get(LIFECYCLE_CONFIG, config))
        paths = [folder / f"{hook}.sh" for hook in hooks if hook in found]
        for path in paths:
            path.write_text(in_folder(found[path.stem], home, HOME))
        return [str(path) for path in paths]

    def _environment(self, home: Path, token: str) -> dict[str, str]:
        # The user's own settings of Jupyter and IPython are not for this one.
        inherited = {
            variable: value
            for variable, value in self._config.child_environment(Principal.WORKSPACE).items()
            if not variable.startswith(("JUPYTER", "IPYTHON", "XDG_"))
        }
        return {
            **inherited,
            "HOME": str(home),
            "JUPYTER_TOKEN": token,
            "JUPYTER_DATA_DIR": str(home / _DATA),
            "JUPYTER_RUNTIME_DIR": str(home / _DATA / "runtime"),
        }

    def _write_kernel(self, home: Path) -> None:
        folder = home / _DATA / "kernels" / KERNEL
        folder.mkdir(parents=True)
        command = [self._config.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel = {"argv": command, "display_name": KERNEL, "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(kernel))

    def _serves(self, instance: Document, process: "subprocess.Popen[str]") -> bool:
        """Wait until the Jupyter server answers; False when it has ended before."""
        deadline = time.monotonic() + _SCRIPT_SECONDS * len(lifecycle_configs.HOOKS) + _SERVER_SECONDS
        headers = {"Authorization": f"token {self._tokens[instance['NotebookInstanceName']]}"}
        while process.poll() is None:
            try:
                url = f"http://{instance['Url']}/api/status"
                if self._pool.request("GET", url, headers=headers, timeout=2.0, retries=False).status == 200:
                    return True
            except urllib3.exceptions.HTTPError:
                if time.monotonic() > deadline:
                    self._children.stop(process, _END_GRACE_SECONDS)
                    return False
            time.sleep(_POLL_SECONDS)
        return False

    def _reason(self, instance: Document) -> str:
        failure = message(self._folder(instance) / "failure")
        if not failure:
            return "The Jupyter server has ended. Please check your CloudWatch logs for more details."
        config = self._documents.get(LIFECYCLE_CONFIG, instance[LIFECYCLE_CONFIG.name_member])
        return (
            f"Notebook Instance Lifecycle Config '{config[LIFECYCLE_CONFIG.arn_member]}' for Notebook Instance "
            f"'{instance['NotebookInstanceArn']}': {failure}. Please check your CloudWatch logs for more details."
        )

    def _folder(self, instance: Document) -> Path:
        return self._config.state_dir / "notebooks" / instance["NotebookInstanceName"]


class _Log:
    """Writes what an instance prints to the log streams that AWS has for it."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._name = name
        self._stream: LogStream | None = None

    def write(self, line: str) -> None:
        """Take a line, which may be one that names the stream of the next ones."""
        if line.startswith(notebook_boot.STREAM):
            stream = line.removeprefix(notebook_boot.STREAM)
            self._stream = LogStream(self._config, LOG_GROUP, f"{self._name}/{stream}")
        elif self._stream is not None:
            self._stream.write(line)


def _forget_all_but_the_volume(folder: Path, home: Path) -> None:
    """Delete what an earlier start left outside the folder SageMaker: the machine is a new one, with the old volume."""
    for path in (*home.iterdir(), *folder.glob("*.sh"), folder / "failure"):
        if path.name == "SageMaker":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
