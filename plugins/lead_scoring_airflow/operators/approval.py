"""A person's yes, without which nothing goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator

from lead_scoring_airflow.operators.stage import reported_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class RequiredApprovalOperator(ApprovalOperator):
    """Wait for a person in the Airflow UI. A no, or no answer in time, fails the task at once and says who and why.

    Clear the task to ask again.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fail_on_reject=True, defaults=self.REJECT, **kwargs)

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
