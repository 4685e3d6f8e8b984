"""Run the contract tests against an AWS account, and report where it differs from local AWS.

Without ``--confirm``, nothing is created: the resources, the account, the region and the cost are listed.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from include.verify_aws import report
from include.verify_aws.guard import PREFIX, TAG
from include.verify_aws.sweep import Swept, sweep

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / ".local" / "verify-aws" / "report.md"
SWEEP_SECONDS = 3600.0
TEST_SECONDS = 7200
AGREES, DIFFERS, REFUSED = 0, 1, 2
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class RefusalError(Exception):
    """The command can't start. The message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="make verify-aws", description=__doc__)
    parser.add_argument("--confirm", default="", help="the ID of the AWS account")
    parser.add_argument("--costs", action="store_true", help="also run tests that cost more than a cent")
    parser.add_argument("--rows", default="", help="run only these rows, such as SN1,S33")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args(arguments)
    try:
        account, region, client = _account(given.confirm)
    except RefusalError as error:
        print(error, file=sys.stderr)
        return REFUSED
    with tempfile.TemporaryDirectory(prefix="verify-aws-") as folder:
        records = Path(folder) / "records.jsonl"
        if not given.confirm:
            _pytest(given, records, "--collect-only")
            print(report.plan(_read(records), account, region, given.costs))
            return AGREES
        return _verify(given, records, account, region, client)


def _account(confirm: str) -> tuple[str, str, Callable[[str], Any]]:
    """Return the account ID, the region, and the factory for clients."""
    try:
        session = boto3.Session()
        if session.region_name is None:
            raise RefusalError(
                "No AWS region is set. Set AWS_REGION, or AWS_PROFILE to a profile with a region."
            )
        if session.get_credentials() is None:
            raise RefusalError(
                "There are no AWS credentials. Set AWS_PROFILE, or log in as for the AWS command line."
            )
        account = session.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise RefusalError(f"The account of the credentials can't be determined: {error}") from error
    if confirm and confirm != account:
        raise RefusalError(
            f"CONFIRM is {confirm}, but the credentials belong to account {account}. Nothing was created. Set CONFIRM "
            "to the account of your credentials."
        )
    return account, session.region_name, session.client


def _verify(
    given: argparse.Namespace, records: Path, account: str, region: str, client: Callable[[str], Any]
) -> int:
    print(
        f"Account {account}, region {region}: all resources are named {PREFIX}-… and tagged {TAG[0]}={TAG[1]}."
    )
    for number in SIGNALS[1:]:
        signal.signal(number, _interrupt)
    before, after = sweep(client, SWEEP_SECONDS), Swept([], [], [])
    try:
        status = _pytest(given, records, f"--timeout={TEST_SECONDS}")
    except KeyboardInterrupt:
        status = None
    finally:
        for number in SIGNALS:
            signal.signal(number, lambda *_: print("Removing all resources. Please wait.", file=sys.stderr))
        after = sweep(client, SWEEP_SECONDS)
    results = _read(records)
    given.page.parent.mkdir(parents=True, exist_ok=True)
    given.page.write_text(
        report.page(results, before, after, account, region, complete=status in (0, 1)), encoding="utf-8"
    )
    print(report.summary(results, after), f"Page: {given.page}", sep="\n")
    return AGREES if status == 0 and not after.left else DIFFERS


def _pytest(given: argparse.Namespace, records: Path, *more: str) -> int:
    command = [
        *(
            sys.executable,
            "-m",
            "pytest",
            "tests/contract",
            "-p",
            "include.verify_aws.plugin",
            "--account",
            "-q",
        ),
        *("-p", "no:cacheprovider", "--rows", given.rows, "--records", str(records), *more),
        *(["--costs"] if given.costs else []),
    ]
    output = subprocess.DEVNULL if "--collect-only" in more else None
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # Ctrl-C interrupts both processes, but a signal to this process interrupts only this one.
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait()
        raise


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _read(records: Path) -> list[dict[str, Any]]:
    """Return the last record of each test."""
    if not records.exists():
        return []
    found = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    return list({record["test"]: record for record in found}.values())


if __name__ == "__main__":
    sys.exit(main())
