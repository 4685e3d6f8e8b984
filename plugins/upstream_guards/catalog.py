"""The list of all workarounds for bugs in Airflow in this repository; ``make upstream`` prints it.

Start an upgrade of Airflow with this list: look up the issues and pull requests, and remove obsolete guards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

CHECKED_WITH = "3.3.2"
NOWHERE = f"not fixed in any release up to {CHECKED_WITH}"
ISSUE = "https://github.com/apache/airflow/issues/{}"


@dataclass(frozen=True)
class Guard:
    """
    A workaround.

    :param files: The files that contain it; each names at least one of the numbers.
    :param bug: What Airflow does without it.
    :param upstream: The numbers of the Airflow issues and pull requests; empty if none is known.
    :param removable: From which version of Airflow it can be removed.
    """

    files: tuple[str, ...]
    bug: str
    upstream: tuple[int, ...]
    removable: str = NOWHERE


GUARDS = (
    Guard(
        files=("plugins/upstream_guards/executor_events.py",),
        bug="A task that resumes within seconds of its deferral, its question or its reschedule fails with "
        '"state mismatch".',
        upstream=(67287, 68741, 72716, 72767, 73546),
        removable=f"state `queued`: with the first release after {CHECKED_WITH} that includes 68741; state `running`: "
        + NOWHERE,
    ),
    Guard(
        files=("plugins/upstream_guards/stranded_answers.py",),
        bug="On SQLite, an answer that arrives while the task starts to wait is stored, but the task continues to "
        "wait. Measured: 3 of 50 immediate answers on a busy machine.",
        upstream=(),
    ),
    Guard(
        files=("plugins/upstream_guards/questions.py",),
        bug="A retry deletes the answer of a user, and a question whose text or options have changed is still shown "
        "in its first version.",
        upstream=(73235,),
    ),
    Guard(
        files=("plugins/run_results.py",),
        bug="After Clear, a task that was skipped or did not start still has the results of its earlier try.",
        upstream=(45506,),
        removable="never: this is intended by Airflow",
    ),
    Guard(
        files=("plugins/upstream_guards/deadlines.py",),
        bug="Clear fails with error 500 while the run has a deadline that has not passed.",
        upstream=(70368, 70370),
    ),
    Guard(
        files=("plugins/amazon_ml/triggers/base.py",),
        bug="With two triggerers, a pause of one stops the job or instance that the other one has taken over.",
        upstream=(72100, 73454),
    ),
    Guard(
        files=("plugins/upstream_guards/triggerer.py", "plugins/amazon_ml/triggers/base.py"),
        bug="A trigger whose task was marked failed is canceled again about every second while it stops its job. On a "
        "busy machine, the job continues to run.",
        upstream=(),
    ),
    Guard(
        files=(
            "plugins/amazon_ml/operators/sagemaker_jobs.py",
            "plugins/amazon_ml/operators/ec2_training.py",
        ),
        bug="After Clear, the trigger of the old try may stop the job or instance after the next try has adopted it. "
        "The next try then fails.",
        upstream=(72100,),
    ),
    Guard(
        files=("plugins/amazon_ml/operators/lost_trigger.py",),
        bug="A task whose trigger is lost stays deferred forever.",
        upstream=(68792,),
    ),
    Guard(
        files=(
            "plugins/amazon_ml/operators/sagemaker_base.py",
            "plugins/amazon_ml/operators/ec2_training.py",
            "plugins/amazon_ml/operators/lambda_alias.py",
        ),
        bug="The `execution_timeout` of a task is not enforced while the task is deferred.",
        upstream=(69678, 69734),
    ),
    Guard(
        files=("plugins/amazon_ml/triggers/s3.py",),
        bug="If two projects watch the same S3 URI, neither notices an upload.",
        upstream=(71460,),
    ),
    Guard(
        files=("plugins/amazon_ml/triggers/s3.py",),
        bug="An asset event that can't be stored terminates the triggerer and is lost.",
        upstream=(71391,),
    ),
    Guard(
        files=("plugins/amazon_ml/notifications/sns.py",),
        bug="A failed run is reported as late when its deadline passes.",
        upstream=(60927,),
    ),
    Guard(
        files=("include/laptop/environment.py", "docker-compose.yaml"),
        bug="A task is lost if the machine sleeps longer than the task's token is valid, by default 10 minutes.",
        upstream=(67939,),
    ),
)


def table() -> str:
    """Return the guards as a table in Markdown."""
    lines = ["| Guard | Bug in Airflow | Upstream | Removable |", "|---|---|---|---|"]
    for guard in GUARDS:
        files = ", ".join(f"`{file}`" for file in guard.files)
        upstream = ", ".join(
            f"[apache/airflow#{number}]({ISSUE.format(number)})" for number in guard.upstream
        )
        lines.append(f"| {files} | {guard.bug} | {upstream or 'no issue is known'} | {guard.removable} |")
    return "\n".join(lines)


def listing() -> Iterator[str]:
    """Yield the lines that ``make upstream`` prints."""
    yield f"Airflow {version('apache-airflow')} is installed. The guards were last checked with {CHECKED_WITH}."
    for guard in GUARDS:
        yield ""
        yield guard.bug
        yield f"  guard:     {', '.join(guard.files)}"
        yield f"  upstream:  {', '.join(map(ISSUE.format, guard.upstream)) or 'no issue is known'}"
        yield f"  removable: {guard.removable}"


if __name__ == "__main__":
    print("\n".join(listing()))
