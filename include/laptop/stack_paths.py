"""The files and ports of a stack on a laptop."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_STATE_DIR = REPOSITORY / ".local"
DEFAULT_AIRFLOW_PORT = 8080
DEFAULT_AWS_PORT = 5566


@dataclass(frozen=True)
class StackPaths:
    """The folder and the two ports of one stack; each stack has its own."""

    state_dir: Path = DEFAULT_STATE_DIR
    airflow_port: int = DEFAULT_AIRFLOW_PORT
    aws_port: int = DEFAULT_AWS_PORT

    @property
    def airflow_url(self) -> str:
        """The URL of Airflow's UI and REST API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def aws_url(self) -> str:
        """The URL of local AWS."""
        return f"http://127.0.0.1:{self.aws_port}"

    @property
    def airflow_home(self) -> Path:
        """Airflow's folder: the database and the logs of tasks."""
        return self.state_dir / "airflow"

    @property
    def aws_dir(self) -> Path:
        """The folder for the files of running jobs on local AWS."""
        return self.state_dir / "aws"

    @property
    def logs(self) -> Path:
        """The folder for the output of the components."""
        return self.state_dir / "logs"

    @property
    def keys_file(self) -> Path:
        """The file with the signing keys of the components."""
        return self.state_dir / "keys.json"

    @property
    def passwords_file(self) -> Path:
        """The file with the passwords of Airflow's users."""
        return self.state_dir / "passwords.json"

    def make(self) -> None:
        """Create the folders, readable only by their owner."""
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.airflow_home, self.aws_dir, self.logs):
            folder.mkdir(exist_ok=True)

    def remember_ports(self) -> None:
        """Store the ports for later commands."""
        ports = {"airflow_port": self.airflow_port, "aws_port": self.aws_port}
        (self.state_dir / "ports.json").write_text(json.dumps(ports), encoding="utf-8")

    def with_remembered_ports(self) -> StackPaths:
        """Return these paths with the ports of the last start, or unchanged if there was none."""
        try:
            ports = json.loads((self.state_dir / "ports.json").read_text(encoding="utf-8"))
            return StackPaths(self.state_dir, ports["airflow_port"], ports["aws_port"])
        except (OSError, ValueError, TypeError, KeyError):  # perhaps truncated by a full disk
            return self
