"""Starts, stops and shows the stack on a laptop: ``python -m include.laptop up|down|status|demo``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from include.laptop.airflow_api import AirflowApiError
from include.laptop.credentials import ADMIN, passwords
from include.laptop.demo import DemoError, check_project, dataset_address, run_demo, standing_folders
from include.laptop.places import DEFAULT_AIRFLOW_PORT, DEFAULT_AWS_PORT, DEFAULT_STATE_DIR
from include.laptop.stack import Stack, StackError


def main() -> int:
    """Do what the command line asks; return the exit status."""
    arguments = _arguments()
    stack = Stack(arguments.state_dir, arguments.airflow_port, arguments.aws_port, say=_say)
    try:
        return {"up": _up, "down": _down, "status": _status, "demo": _demo}[arguments.command](
            stack, arguments
        )
    except (StackError, DemoError, AirflowApiError) as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as problem:
        print(
            f"{problem.filename or arguments.state_dir} can't be used: {problem.strerror}.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state-dir", type=Path, default=DEFAULT_STATE_DIR, help="where the stack keeps its files"
    )
    common.add_argument("--airflow-port", type=int, default=DEFAULT_AIRFLOW_PORT)
    common.add_argument("--aws-port", type=int, default=DEFAULT_AWS_PORT)
    parser = argparse.ArgumentParser(prog="python -m include.laptop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", parents=[common], help="start local AWS and Airflow")
    commands.add_parser("down", parents=[common], help="stop all of it")
    commands.add_parser("status", parents=[common], help="say what runs")
    demo = commands.add_parser(
        "demo", parents=[common], help="run a project's pipeline and show its predictions"
    )
    demo.add_argument("--project", default="sample")
    demo.add_argument("--dataset", default="", help="zip file, folder, http(s) or s3 address")
    return parser.parse_args()


def _up(stack: Stack, _: argparse.Namespace) -> int:
    began = time.monotonic()
    started = stack.up()
    _say(f"The stack is up after {time.monotonic() - began:.0f} s" if started else "The stack is already up")
    places = stack.places
    _say(f"  Airflow    {places.airflow_url}")
    password = passwords(places.passwords_file)[ADMIN]
    _say(f"  user       {ADMIN}, password {password} (from {places.passwords_file})")
    _say(f"  local AWS  {places.aws_url}")
    _say(f"  logs       {places.logs}")
    return 0


def _down(stack: Stack, _: argparse.Namespace) -> int:
    stopped = stack.down()
    _say(f"Stopped {stopped} processes" if stopped else "Nothing was running")
    return 0


def _status(stack: Stack, _: argparse.Namespace) -> int:
    if not stack.supervision.is_running():
        _say("Nothing is running; `make up` starts the stack")
        return 1
    health = stack.health()
    for name, state in health.items():
        _say(f"{name:<15} {state}")
    return 0 if set(health.values()) == {"healthy"} else 1


def _demo(stack: Stack, arguments: argparse.Namespace) -> int:
    check_project(arguments.project)
    dataset = dataset_address(arguments.dataset, standing_folders()) if arguments.dataset else None
    _up(stack, arguments)
    run_demo(stack.api(), stack.places.aws_url, arguments.project, dataset, _say)
    _say(f"\nAirflow stays up at {stack.places.airflow_url}; `make down` ends it.")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
