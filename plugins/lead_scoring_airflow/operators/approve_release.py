from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.operators.approval import RequiredApprovalOperator
from lead_scoring_airflow.operators.stage import as_bool

if TYPE_CHECKING:
    from airflow.sdk import Context


class ApproveReleaseOperator(RequiredApprovalOperator):
    """Wait for a person in the Airflow UI, but only when the run asks for it.

    Not asked: the task is skipped and the release goes on (what follows has the trigger rule ``none_failed``).
    Rejected, or no answer in time: the task fails, and the package stays unregistered.

    :param require_approval: whether to wait (templated).
    """

    template_fields: Sequence[str] = (*RequiredApprovalOperator.template_fields, "require_approval")
    ui_color = "#fdf3d8"

    def __init__(self, *, require_approval: bool | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.require_approval = require_approval

    def execute(self, context: Context) -> Any:
        if not as_bool(self.require_approval):
            from airflow.sdk.exceptions import AirflowSkipException

            raise AirflowSkipException("This run does not ask for an approval.")
        return super().execute(context)
