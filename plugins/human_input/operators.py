"""Ask a person where that is wanted, with options that may be found when the task runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context


class AskOperator(HITLOperator):
    """
    Ask a person to choose among options, unless there is a reason not to ask.

    Any answer makes the task succeed, also a refusal: what it means is for the tasks after it to say.

    :param options: What can be chosen, or a callable that gives it for the task's context. It is called again when
        the answer is there, so it must give the same then.
    :param skip: A callable that gives the reason why nobody has to be asked, with which the task is skipped, or None.
    :param kwargs: Those of ``HITLOperator``: ``subject``, ``body``, ``defaults``, ``response_timeout`` and others. The
        answer after the timeout is ``defaults``; without them, the task fails.
    :return: ``chosen_options``, ``params_input``, ``responded_by_user`` (``id`` and ``name``; None after the timeout)
        and ``responded_at`` (ISO).
    """

    def __init__(
        self,
        *,
        options: list[str] | Callable[[Context], list[str]],
        skip: Callable[[Context], str | None] | None = None,
        **kwargs: Any,
    ) -> None:
        self.find_options = options if callable(options) else None
        self.skip_reason = skip
        # HITLOperator wants options before they can be known.
        super().__init__(options=["-"] if callable(options) else options, **kwargs)

    def execute(self, context: Context) -> Any:
        """
        Ask, and wait for the answer without a worker.

        :raises AirflowSkipException: if nobody has to be asked.
        """
        if self.skip_reason and (reason := self.skip_reason(context)):
            raise AirflowSkipException(reason)
        self._set_options(context)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the answer."""
        self._set_options(context)
        answer = super().execute_complete(context, event)
        return {**answer, "responded_at": answer["responded_at"].isoformat(timespec="seconds")}

    def _set_options(self, context: Context) -> None:
        if self.find_options:
            self.options = self.find_options(context)
            self.validate_options()
            self.validate_defaults()
