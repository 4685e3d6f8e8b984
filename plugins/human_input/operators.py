"""Wait for a user's decision, with options that may be determined when the task runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
from airflow.sdk.timezone import utcnow

if TYPE_CHECKING:
    from airflow.sdk import Context


class AskOperator(HITLOperator):
    """
    Wait for a user to choose among options, unless no answer is needed.

    The task succeeds with any answer, including a rejection. Downstream tasks decide what the answer means. A retry
    with the same question uses the answer of an earlier try.

    :param options: The options, or a callable that returns them for the task's context. It is called again when the
        answer arrives, and must then return the same options.
    :param about: A callable that returns the subject of the decision, as JSON, for the task's context. The body must
        identify it. If it has changed when the answer arrives, the answer is invalid, and the question is asked again.
    :param skip: A callable that returns the reason why no answer is needed, which skips the task, or None.
    :param kwargs: The arguments of ``HITLOperator``: ``subject``, ``body``, ``defaults``, ``response_timeout`` and
        others. After the timeout, the answer is ``defaults``. Without defaults, the task fails.
    :return: ``chosen_options``, ``params_input``, ``responded_by_user`` (``id`` and ``name``; None after the timeout),
        ``responded_at`` (ISO) and ``about``.
    """

    def __init__(
        self,
        *,
        options: list[str] | Callable[[Context], list[str]],
        about: Callable[[Context], Any] | None = None,
        skip: Callable[[Context], str | None] | None = None,
        **kwargs: Any,
    ) -> None:
        self.find_about = about or (lambda context: None)
        self.find_options = options if callable(options) else None
        self.skip_reason = skip
        # HITLOperator requires options before they can be determined.
        super().__init__(options=["-"] if callable(options) else options, **kwargs)

    def execute(self, context: Context) -> Any:
        """
        Ask the question, and wait for the answer without a worker.

        :raises AirflowSkipException: If no answer is needed.
        :raises AirflowFailException: If Airflow shows a different question.
        """
        if self.skip_reason and (reason := self.skip_reason(context)):
            # Airflow logs the reason of a skip in a group that the UI shows collapsed.
            self.log.info("%s", reason)
            raise AirflowSkipException(reason)
        self._set_options(context)
        self._ask(context["ti"].id)
        if self.response_timeout:
            self.hitl_summary_extra["timeout_datetime"] = (utcnow() + self.response_timeout).isoformat()
        self.log.info("Waiting for an answer to: %s", self.subject)
        for notifier in self.notifiers:
            notifier(context)
        raise TaskAwaitingInput(
            method_name="execute_complete",
            kwargs={"asked": self._digest(context)},
            timeout=self.response_timeout,
        )

    def execute_complete(
        self, context: Context, event: dict[str, Any], asked: str | None = None
    ) -> dict[str, Any]:
        """
        Return the answer. Ask again if the question has changed since it was asked.

        :param asked: The digest of the question that was answered.
        """
        self._set_options(context)
        if asked is not None and asked != self._digest(context):
            self.log.warning(
                "The answer %s is invalid, since the subject of the question has changed. Asking again.",
                event.get("chosen_options"),
            )
            again: dict[str, Any] = self.execute(context)  # raises TaskAwaitingInput
            return again
        answer = super().execute_complete(context, event)
        given = answer["responded_at"].isoformat(timespec="seconds")
        if answer["responded_at"] < context["ti"].start_date:
            user = (answer["responded_by_user"] or {}).get("name", "the timeout")
            self.log.info(
                "Using the answer to the same question of an earlier try: %s answered with %s at %s.",
                user,
                answer["chosen_options"],
                given,
            )
        return {**answer, "responded_at": given, "about": self.find_about(context)}

    def _digest(self, context: Context) -> str:
        """Return a digest of everything that the answer depends on."""
        question = [self.subject, self.body, self.options, self.find_about(context)]
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()

    def _ask(self, instance_id: Any) -> None:
        """Store the question, and verify that Airflow shows it."""
        question = CreateHITLDetailPayload(
            ti_id=instance_id,
            options=self.options,
            subject=self.subject,
            body=self.body,
            defaults=self.defaults,
            multiple=self.multiple,
            params=self.serialized_params,
            assigned_users=self.assigned_users or [],
        )
        # ``upsert_hitl_detail`` of the SDK does not return the stored question.
        stored = task_runner.SUPERVISOR_COMMS.send(question)
        shown = ("subject", "body", "options")
        if changed := [name for name in shown if getattr(stored, name) != getattr(question, name)]:
            raise AirflowFailException(
                f"Airflow still shows the {' and the '.join(changed)} of an earlier try's question. Start a new run. "
                "To prevent this, run the API server with this repository's plugins folder (upstream_guards)."
            )

    def _set_options(self, context: Context) -> None:
        if self.find_options:
            self.options = self.find_options(context)
            self.validate_options()
            self.validate_defaults()
