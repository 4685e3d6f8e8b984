"""How and when a run can be stopped: the rows and columns of the table in docs/operating.md, with what proves them."""

from __future__ import annotations

# By column: the steps and the operations after which test_stopped_runs.py kills a release. While a job runs,
# test_kills.py and test_killed_runs.py do.
WHEN: dict[str, list[tuple[str, str]]] = {
    "a job runs": [],
    "`approve` waits": [("gate", "UpdateModelPackage")],
    "`deploy_endpoint` changes the endpoint": [("deploy_endpoint", "UpdateEndpoint")],
    "then, until `smoke_test` has passed": [("smoke_test", "Invoke")],
    "after that": [("smoke_test", "AddTags")],
}
# By row: the tests that show what happens.
ACTIONS: dict[str, list[str]] = {
    "mark the run failed": [
        "tests/e2e/test_stopped_runs.py::test_the_next_run_puts_right_what_a_stopped_one_has_left",
    ],
    "mark the task failed": [
        "tests/e2e/test_kills.py::test_a_task_that_is_marked_failed_in_the_worker_stops_its_job",
        "tests/e2e/test_releases.py::test_a_model_is_taken_back_and_costs_no_request",
    ],
    "clear the task": [
        "tests/e2e/test_stopped_runs.py::test_a_cleared_task_that_fails_takes_nothing_good_down",
        "tests/e2e/test_stopped_runs.py::test_a_cleared_task_leaves_a_later_release_alone",
    ],
    "pause the DAG": [
        "tests/e2e/test_sample.py::test_while_the_dag_is_paused_an_untested_model_may_serve",
        "tests/e2e/test_sample.py::test_a_release_survives_a_pause_a_killed_api_server_and_a_killed_scheduler",
    ],
    "delete the run": ["tests/e2e/test_sample.py::test_a_run_is_deleted_only_after_it_has_ended"],
    "a component of Airflow dies": [
        "tests/e2e/test_kills.py::test_after_its_worker_was_killed_a_task_adopts_what_it_had_begun",
        "tests/e2e/test_kills.py::test_after_its_triggerer_was_killed_a_task_waits_in_the_next",
        "tests/e2e/test_kills.py::test_after_its_api_server_was_killed_a_task_waits_for_the_same_job",
        "tests/e2e/test_sample.py::test_a_release_survives_a_pause_a_killed_api_server_and_a_killed_scheduler",
    ],
    "local AWS dies": ["tests/e2e/test_kills.py::test_make_up_ends_the_runs_whose_local_aws_was_killed"],
}
