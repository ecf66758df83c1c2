"""Buttons on a task that lead out of Airflow. The address is fixed by the operator while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class ModelCardLink(BaseOperatorLink):
    """The model card of the version that the task made or promoted."""

    name = "Model card"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        return getattr(operator, "model_card_url", "")


class SalesforceLink(BaseOperatorLink):
    """The list of leads in the org that the task wrote to."""

    name = "Salesforce"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        return getattr(operator, "salesforce_url", "")
