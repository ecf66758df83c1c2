"""A person's yes, without which nothing goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator

from lead_scoring_airflow.answers import given
from lead_scoring_airflow.operators.stage import reported_errors

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

XCOM_QUESTION = "question"  # under which a task that plans pushes what is asked, as Markdown


class RequiredApprovalOperator(ApprovalOperator):
    """Wait for a person in the Airflow UI. A no, or no answer in time, fails the task at once and says who and why.

    What is asked ends with who asked for the run and until when an answer counts. Clear the task to ask again.
    """

    def __init__(self, *, response_timeout: timedelta, **kwargs: Any) -> None:
        super().__init__(fail_on_reject=True, defaults=self.REJECT, response_timeout=response_timeout, **kwargs)

    def execute(self, context: Context) -> Any:
        if (event := given(context)) is not None:
            self.log.info("Answered already, in the try before this one: %s", event["chosen_options"])
            return self.execute_complete(context, event)
        self.body = f"{self.body}\n\n{self._who_and_when(context)}"
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        from lead_scoring.errors import CheckFailed

        with reported_errors(context):
            try:
                return super().execute_complete(context, event)
            except HITLRejectException:
                person = event.get("responded_by_user")
                answer = f"{person['name']} said no" if person else f"nobody answered within {self.response_timeout}"
                raise CheckFailed(
                    f"{answer} to {self.subject!r}; nothing was changed. Clear the task to ask again"
                ) from None

    def cleared(self, context: Context) -> bool:
        """Whether a person cleared the task. Airflow's own retries use up the tries that the task has and add none."""
        return bool(context["ti"].max_tries > (self.retries or 0))

    def _who_and_when(self, context: Context) -> str:
        from airflow.sdk import timezone

        from lead_scoring.text import escape_markdown

        run = context["dag_run"]
        asked = escape_markdown(run.triggering_user_name or f"a {run.run_type} run")
        until = timezone.utcnow() + self.response_timeout
        return f"Asked for by {asked}. No answer by {until:%Y-%m-%d %H:%M} UTC is a no."
