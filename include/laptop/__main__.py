"""Start, stop and show the stack on a laptop: ``python -m include.laptop up|down|status|demo|check``."""

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
from include.laptop.stack import Stack
from include.laptop.stack_paths import DEFAULT_AIRFLOW_PORT, DEFAULT_AWS_PORT, DEFAULT_STATE_DIR
from include.laptop.terminal import facts, make_console, say, show, shown_path, working


class Terminated(KeyboardInterrupt):
    """The process has received SIGTERM."""


def main() -> int:
    """Run the command; return the exit status."""
    arguments = _arguments()
    console, errors = make_console(), make_console(sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)  # so that a live display restores the cursor
    stack = Stack(
        arguments.state_dir, arguments.airflow_port, arguments.aws_port, say=lambda line: say(console, line)
    )
    try:
        commands = {"up": _up, "down": _down, "status": _status, "demo": _demo, "check": _check}
        return commands[arguments.command](stack, arguments, console)
    except LaptopError as problem:
        say(errors, str(problem), "red")
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # Python would report the same error again
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
        "--state-dir", type=Path, default=DEFAULT_STATE_DIR, help="folder for the files of the stack"
    )
    common.add_argument("--airflow-port", type=int, default=DEFAULT_AIRFLOW_PORT)
    common.add_argument("--aws-port", type=int, default=DEFAULT_AWS_PORT)
    parser = argparse.ArgumentParser(prog="python -m include.laptop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", parents=[common], help="start local AWS and Airflow")
    commands.add_parser("down", parents=[common], help="stop local AWS and Airflow")
    commands.add_parser(
        "status", parents=[common], help="show what is running, what is live, and what to do next"
    )
    demo = commands.add_parser(
        "demo", parents=[common], help="run a project's pipeline and show its predictions"
    )
    demo.add_argument("--project", default="sample")
    demo.add_argument("--dataset", default="", help="zip file, folder, http(s) URL or S3 URI")
    check = commands.add_parser(
        "check",
        parents=[common],
        help="check a data set as the pipeline would, without a stack; "
        "ends with 0 if it can be used, 1 if not, 2 if it can't be read",
    )
    check.add_argument("--project", default="sample", help="whose settings count")
    check.add_argument("--dataset", default="", help="as for demo; the project's own unless given")
    check.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser.parse_args()


def _up(stack: Stack, _: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    with working(console, "Local AWS and Airflow"):
        started = stack.up()
    took = f" after {time.monotonic() - began:.0f} s"
    say(console, f"The stack is up{took}" if started else "The stack is already up", "bold green")
    paths = stack.paths
    password = passwords(paths.passwords_file)[ADMIN]
    show(
        console,
        facts(
            [
                ("Airflow", paths.airflow_url),
                ("user", f"{ADMIN}, password {password} (from {shown_path(paths.passwords_file)})"),
                ("local AWS", paths.aws_url),
                ("logs", shown_path(paths.logs)),
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
    from include.laptop import status  # imports boto3 and pydantic: most of a second

    found = status.read(stack)
    status.show(console, found)
    return 0 if found.is_healthy else 1


def _demo(stack: Stack, arguments: argparse.Namespace, console: Console) -> int:
    from include.laptop.demo import dataset_address, read_project, run_demo, standing_folders

    project = read_project(arguments.project)
    dataset = dataset_address(arguments.dataset, standing_folders()) if arguments.dataset else None
    _up(stack, arguments, console)
    run_demo(stack.api(), stack.paths, project, dataset, console)
    say(console)
    say(console, "Everything keeps running. `make status` shows it, `make down` stops it.")
    return 0


def _check(stack: Stack, arguments: argparse.Namespace, console: Console) -> int:
    from include.laptop import check_data

    folder = stack.paths.state_dir / "checks"
    return check_data.run(
        arguments.project, arguments.dataset, arguments.json, folder, console, make_console(sys.stderr)
    )


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _left_running(stack: Stack) -> str:
    """Return a message about what is still running after an interruption, and how to stop it."""
    count = len(stack.supervision.processes())
    if not count:
        return "Interrupted. Nothing is running."
    return (
        f"Interrupted. Local AWS and Airflow keep running ({count} processes). `make status` shows them, `make down` "
        "stops them."
    )


if __name__ == "__main__":
    sys.exit(main())
