"""The list of all workarounds for faults of Airflow in this repository; ``make upstream`` prints it.

An upgrade of Airflow begins with it: look up the issues and pull requests, and remove each guard that can go.
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

    :param files: The files that hold it; each names at least one of the numbers.
    :param fault: What Airflow does without it.
    :param upstream: The numbers of Airflow's issues and pull requests; empty if none is known.
    :param can_go: From which version of Airflow it can be removed.
    """

    files: tuple[str, ...]
    fault: str
    upstream: tuple[int, ...]
    can_go: str = NOWHERE


GUARDS = (
    Guard(
        files=("plugins/upstream_guards/executor_events.py",),
        fault='A task that resumes within seconds of its deferral, or of its question, fails with "state mismatch".',
        upstream=(67287, 68741, 72716, 72767, 73546),
        can_go=f"the state `queued`: with the first release after {CHECKED_WITH} that has 68741; the state `running`: "
        + NOWHERE,
    ),
    Guard(
        files=("plugins/upstream_guards/stranded_answers.py",),
        fault="On SQLite, an answer that arrives in the moment in which the task begins to wait is stored, but the "
        "task waits on. Measured: 3 of 50 answers that were given at once on a busy machine.",
        upstream=(),
    ),
    Guard(
        files=("plugins/upstream_guards/questions.py",),
        fault="A retry erases the answer that a person gave, and a question whose text or options changed is shown as "
        "it was first asked.",
        upstream=(73235,),
    ),
    Guard(
        files=("plugins/run_results.py",),
        fault="After Clear, a task that was skipped or did not start still has the results of its earlier try.",
        upstream=(45506,),
        can_go="never: Airflow means it so",
    ),
    Guard(
        files=("plugins/upstream_guards/deadlines.py",),
        fault="Clear fails with an error 500 as long as the run has a deadline that has not passed.",
        upstream=(70368, 70370),
    ),
    Guard(
        files=("plugins/amazon_ml/triggers/base.py",),
        fault="With two triggerers, a pause of one stops the job or instance that the other one has taken over.",
        upstream=(72100, 73454),
    ),
    Guard(
        files=("plugins/amazon_ml/triggers/base.py",),
        fault="A trigger whose task was marked failed is cancelled again about every second while it stops its job, so "
        "that on a busy machine the job goes on.",
        upstream=(),
    ),
    Guard(
        files=(
            "plugins/amazon_ml/operators/sagemaker_jobs.py",
            "plugins/amazon_ml/operators/ec2_training.py",
        ),
        fault="After Clear, the old try's trigger may stop the job or instance when the next try has adopted it. The "
        "next try then fails.",
        upstream=(72100,),
    ),
    Guard(
        files=("plugins/amazon_ml/operators/lost_trigger.py",),
        fault="A task whose trigger is lost stays deferred for ever.",
        upstream=(68792,),
    ),
    Guard(
        files=(
            "plugins/amazon_ml/operators/sagemaker_base.py",
            "plugins/amazon_ml/operators/ec2_training.py",
            "plugins/amazon_ml/operators/lambda_alias.py",
        ),
        fault="The `execution_timeout` of a task is not watched while it is deferred.",
        upstream=(69678, 69734),
    ),
    Guard(
        files=("plugins/amazon_ml/triggers/s3.py",),
        fault="Where two projects watch the same S3 URI, neither notices an upload.",
        upstream=(71460,),
    ),
    Guard(
        files=("plugins/amazon_ml/triggers/s3.py",),
        fault="An asset event that can't be stored ends the triggerer, and is lost.",
        upstream=(71391,),
    ),
    Guard(
        files=("plugins/amazon_ml/notifications/sns.py",),
        fault="A run that failed is reported as too late when its deadline passes.",
        upstream=(60927,),
    ),
    Guard(
        files=("include/laptop/environment.py", "docker-compose.yaml"),
        fault="A task is lost if the machine slept longer than the task's token is valid, by default 10 minutes.",
        upstream=(67939,),
    ),
)


def table() -> str:
    """Return the guards as a table in Markdown."""
    lines = ["| Guard | Fault of Airflow | Upstream | Can go |", "|---|---|---|---|"]
    for guard in GUARDS:
        files = ", ".join(f"`{file}`" for file in guard.files)
        upstream = ", ".join(
            f"[apache/airflow#{number}]({ISSUE.format(number)})" for number in guard.upstream
        )
        lines.append(f"| {files} | {guard.fault} | {upstream or 'no issue is known'} | {guard.can_go} |")
    return "\n".join(lines)


def listing() -> Iterator[str]:
    """Give the lines that ``make upstream`` prints."""
    yield f"Airflow {version('apache-airflow')} is installed. The guards were last checked with {CHECKED_WITH}."
    for guard in GUARDS:
        yield ""
        yield guard.fault
        yield f"  guard:    {', '.join(guard.files)}"
        yield f"  upstream: {', '.join(map(ISSUE.format, guard.upstream)) or 'no issue is known'}"
        yield f"  can go:   {guard.can_go}"


if __name__ == "__main__":
    print("\n".join(listing()))
