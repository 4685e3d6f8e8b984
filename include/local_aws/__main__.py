"""Runs local AWS: ``python -m include.local_aws [--host HOST] [--port PORT] [--state-dir DIR] [--weather KINDS]``."""

import argparse
import errno
import functools
import gc
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.local_aws import programs
from include.local_aws.weather import kinds

REPOSITORY = Path(__file__).resolve().parents[2]
_LINKS = "local-aws-"
"""What the names of the folders of links begin with, in the folder for temporary files."""


def main() -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A line for each call and each pooled connection adds nothing to the logs of the services.
    for noisy in ("werkzeug", "botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    listener = _listen(arguments.host, arguments.port)
    if listener is None or not _is_writable(arguments.state_dir):
        return 1
    # Not an Event or a queue: a signal that arrives just before such a wait is noticed only after the wait.
    stop, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with (
        stop,
        wake,
        listener,
        _working_directory(arguments.state_dir, arguments.port) as (state_dir, bin_dir, programs_dir),
    ):
        _serve(
            listener,
            stop,
            host=arguments.host,
            port=arguments.port,
            state_dir=state_dir,
            bin_dir=bin_dir,
            programs_dir=programs_dir,
            weather=arguments.weather,
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.local_aws", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=5566, help="port to listen on (5566)")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=REPOSITORY / ".local" / "aws",
        help="folder for the files of running jobs (.local/aws in the repository)",
    )
    parser.add_argument(
        "--weather",
        default=os.environ.get(kinds.VARIABLE, ""),
        help=f"what goes wrong as in AWS: {kinds.ALL}, or some of {', '.join(kinds.KINDS)} ({kinds.VARIABLE}, or "
        "nothing)",
    )
    arguments = parser.parse_args()
    try:
        arguments.weather = kinds.parse(arguments.weather)
    except ValueError as error:
        parser.error(f"--weather or {kinds.VARIABLE}: {error}")
    return arguments


def _listen(host: str, port: int) -> socket.socket | None:
    if not 1 <= port <= 65535:
        print(f"--port is {port}; choose a port from 1 to 65535.", file=sys.stderr)
        return None
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
        print(
            f"Local AWS cannot listen on {host}:{port}: {reason}. Stop it, or choose another --port.",
            file=sys.stderr,
        )
        return None


def _is_writable(state_dir: Path) -> bool:
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state_dir), tempfile.TemporaryFile():
            return True
    except OSError as error:
        print(
            f"{error.filename or state_dir} can't be used: {error.strerror}. Choose a --state-dir, and a TMPDIR, that "
            "can be written to.",
            file=sys.stderr,
        )
        return False


@contextmanager
def _working_directory(state_dir: Path, port: int) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the folders of this server, the interpreter and the programs, by paths that contain no spaces."""
    folder = state_dir.absolute() / str(port)
    for left in (folder, *_links_to(folder)):
        shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(parents=True)
    links = Path(tempfile.mkdtemp(prefix=_LINKS))
    try:
        (links / "state").symlink_to(folder)
        (links / "python").symlink_to(sys.prefix)
        programs.write(links / "programs", str(links / "python" / "bin" / "python"))
        yield links / "state", links / "python" / "bin", links / "programs"
    finally:
        shutil.rmtree(links, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _links_to(folder: Path) -> list[Path]:
    """Return the folders of links that servers with this folder left when they were killed."""
    links = [each / "state" for each in Path(tempfile.gettempdir()).glob(f"{_LINKS}*")]
    return [link.parent for link in links if link.is_symlink() and link.readlink() == folder]


def _serve(listener: socket.socket, stop: socket.socket, **settings: Any) -> None:
    gc.disable()
    # moto reads it when it is imported. Without it, policies of AWS cannot be attached to a role.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    from include.local_aws.config import Config

    config = Config.from_environment(os.environ, **settings)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # clients of this server do not use the profile and endpoints of the user

    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from include.local_aws import call_log
    from include.local_aws.awslambda import LambdaService
    from include.local_aws.cloudwatch import CloudWatch
    from include.local_aws.ec2 import EC2, Machines
    from include.local_aws.gateway import Gateway, Service, WsgiApplication
    from include.local_aws.moto_faults import AwsErrorsOnly
    from include.local_aws.moto_patches.apply import apply_all
    from include.local_aws.processes import ChildProcesses
    from include.local_aws.regions import Regions
    from include.local_aws.s3 import S3
    from include.local_aws.sagemaker import SageMaker
    from include.local_aws.service_quotas import ServiceQuotas
    from include.local_aws.ssm import SSM
    from include.local_aws.weather.service import Weather

    class RequestHandler(MotoRequestHandler):
        disable_nagle_algorithm = True  # otherwise, each answer on a kept connection waits 40 ms for an ACK

    class Dispatcher(DomainDispatcherApplication):
        def __init__(self) -> None:
            super().__init__(create_backend_app)
            # moto lists its modules from the disk for each request.
            self._backend_of = functools.lru_cache(1000)(super().get_backend_for_host)

        def get_backend_for_host(self, host: str | None) -> Any:
            return self._backend_of(host)

    children = ChildProcesses()
    machines = Machines(config, children)
    apply_all(config, machines)
    services: list[Service] = [
        Regions(config, "sagemaker", lambda each: SageMaker(each, children), SageMaker.concerns),
        LambdaService(config, children),
        CloudWatch(config),
        EC2(config, machines),
        Regions(config, "ssm", lambda each: SSM(each, machines), SSM.concerns),
        S3(),
        Regions(config, "service-quotas", ServiceQuotas, ServiceQuotas.concerns),
    ]
    calls = call_log.CallLog(Path(os.environ[call_log.VARIABLE])) if call_log.VARIABLE in os.environ else None
    application: WsgiApplication = Gateway(services, AwsErrorsOnly(Dispatcher()), calls)
    if config.weather:
        application = Weather(application, config.region, config.weather, config.weather_seconds)
        print(f"local AWS has weather: {', '.join(sorted(config.weather))}", flush=True)
    server = make_server(
        config.host,
        config.port,
        application,
        threaded=True,
        request_handler=RequestHandler,
        fd=listener.fileno(),
    )
    # What was imported stays until the end. To traverse it again and again would take time, most of all at the end.
    gc.freeze()
    gc.enable()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"local AWS is ready at http://{config.host}:{config.port}", flush=True)
    stop.recv(1)
    for service in services:
        service.close()
    children.stop_all()
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
