"""Starts, stops and shows the stack on a laptop: ``python -m include.laptop up|down|status|demo``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from include.laptop.credentials import ADMIN, passwords
from include.laptop.errors import LaptopError
from include.laptop.places import DEFAULT_AIRFLOW_PORT, DEFAULT_AWS_PORT, DEFAULT_STATE_DIR
from include.laptop.stack import Stack
from include.laptop.terminal import facts, make_console, say, show, shown_path, working


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


def main() -> int:
    """Do what the command line says; return the exit status."""
    arguments = _arguments()
    console, errors = make_console(), make_console(sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)  # so that a live display gives the cursor back
    stack = Stack(
        arguments.state_dir, arguments.airflow_port, arguments.aws_port, say=lambda line: say(console, line)
    )
    try:
        return {"up": _up, "down": _down, "status": _status, "demo": _demo}[arguments.command](
            stack, arguments, console
        )
    except LaptopError as problem:
        say(errors, str(problem), "red")
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # Python would report the same once more
        return 1
    except OSError as problem:
        where = problem.filename or arguments.state_dir
        say(errors, f"{where} can't be used: {problem.strerror or problem}.", "red")
        return 1
    except KeyboardInterrupt as stop:
        say(errors, _left_running(stack))
        return 143 if isinstance(stop, Terminated) else 130


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
    commands.add_parser("status", parents=[common], help="show what runs, what is live, and what to do next")
    demo = commands.add_parser(
        "demo", parents=[common], help="run a project's pipeline and show its predictions"
    )
    demo.add_argument("--project", default="sample")
    demo.add_argument("--dataset", default="", help="zip file, folder, http(s) or s3 address")
    return parser.parse_args()


def _up(stack: Stack, _: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    with working(console, "Local AWS and Airflow"):
        started = stack.up()
    took = f" after {time.monotonic() - began:.0f} s"
    say(console, f"The stack is up{took}" if started else "The stack is already up", "bold green")
    places = stack.places
    password = passwords(places.passwords_file)[ADMIN]
    show(
        console,
        facts(
            [
                ("Airflow", places.airflow_url),
                ("user", f"{ADMIN}, password {password} (from {shown_path(places.passwords_file)})"),
                ("local AWS", places.aws_url),
                ("logs", shown_path(places.logs)),
            ]
        ),
    )
    return 0


def _down(stack: Stack, _: argparse.Namespace, console: Console) -> int:
    with working(console, "Stopping local AWS and Airflow"):
        stopped = stack.down()
    say(console, f"Stopped {stopped} processes" if stopped else "Nothing was running")
    return 0


def _status(stack: Stack, _: argparse.Namespace, console: Console) -> int:
    from include.laptop import status  # with boto3 and pydantic: most of a second

    found = status.read(stack)
    status.show(console, found)
    return 0 if found.is_healthy else 1


def _demo(stack: Stack, arguments: argparse.Namespace, console: Console) -> int:
    from include.laptop.demo import dataset_address, read_project, run_demo, standing_folders

    project = read_project(arguments.project)
    dataset = dataset_address(arguments.dataset, standing_folders()) if arguments.dataset else None
    _up(stack, arguments, console)
    run_demo(stack.api(), stack.places, project, dataset, console)
    say(console)
    say(console, "Everything keeps running. `make status` shows it, `make down` stops it.")
    return 0


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _left_running(stack: Stack) -> str:
    """Return what an interrupted command leaves running, and how to stop it."""
    count = len(stack.supervision.processes())
    if not count:
        return "Interrupted. Nothing is running."
    return (
        f"Interrupted. Local AWS and Airflow keep running ({count} processes): `make status` shows them, `make down` "
        "stops them."
    )


if __name__ == "__main__":
    sys.exit(main())
