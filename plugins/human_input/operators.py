"""Ask a person for a decision, with options that may be found when the task runs."""

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
    Ask a person to choose among options, unless there is a reason not to ask.

    Any answer makes the task succeed, also a refusal: the tasks after it decide what it means. A retry that asks the
    same question uses the answer that an earlier try was given.

    :param options: What can be chosen, or a callable that returns it for the task's context. It is called again when
        the answer arrives, and must return the same then.
    :param about: A callable that returns what the answer decides about, as JSON, for the task's context. The body has
        to tell it apart from anything else. If it has changed when the answer arrives, the answer is void, and the
        person is asked again.
    :param skip: A callable that returns the reason why no answer is needed, with which the task is skipped, or None.
    :param kwargs: Those of ``HITLOperator``: ``subject``, ``body``, ``defaults``, ``response_timeout`` and others. The
        answer after the timeout is ``defaults``; without them, the task fails.
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
        # HITLOperator wants options before they can be known.
        super().__init__(options=["-"] if callable(options) else options, **kwargs)

    def execute(self, context: Context) -> Any:
        """
        Ask, and wait for the answer without a worker.

        :raises AirflowSkipException: if no answer is needed.
        :raises AirflowFailException: if Airflow shows another question than this one.
        """
        if self.skip_reason and (reason := self.skip_reason(context)):
            # Airflow logs the reason of a skip in a group that its UI shows collapsed.
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

        :param asked: The digest of the question that was asked.
        """
        self._set_options(context)
        if asked is not None and asked != self._digest(context):
            self.log.warning(
                "The answer %s is void: what the task asks about has changed since. It asks again.",
                event.get("chosen_options"),
            )
            return self.execute(context)  # raises TaskAwaitingInput
        answer = super().execute_complete(context, event)
        given = answer["responded_at"].isoformat(timespec="seconds")
        if answer["responded_at"] < context["ti"].start_date:
            user = (answer["responded_by_user"] or {}).get("name", "the timeout")
            self.log.info(
                "An earlier try asked the same question, which %s answered with %s at %s. That answer counts.",
                user,
                answer["chosen_options"],
                given,
            )
        return {**answer, "responded_at": given, "about": self.find_about(context)}

    def _digest(self, context: Context) -> str:
        """Return a digest of all that the answer depends on."""
        question = [self.subject, self.body, self.options, self.find_about(context)]
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()

    def _ask(self, instance_id: Any) -> None:
        """Store the question, and verify that it is the one which Airflow shows."""
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
        # Not ``upsert_hitl_detail`` of the SDK, which does not return what is stored.
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
