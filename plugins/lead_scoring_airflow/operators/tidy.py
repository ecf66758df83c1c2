from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from lead_scoring_airflow.notes import tell
from lead_scoring_airflow.operators.stage import as_bool, make_pipeline, refuse_wrong_params, reported_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class TidyOperator(BaseOperator):
    """Remove old runs and partitions that nobody needs any more; what went is logged and returned.

    :param dry_run: only say what would go (templated).
    """

    template_fields: Sequence[str] = ("dry_run",)

    def __init__(self, *, dry_run: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dry_run = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        with reported_errors(context):
            refuse_wrong_params(context)
            report = make_pipeline().tidy(datetime.now(UTC), dry_run=as_bool(self.dry_run))
        for item in report["partitions"]:
            self.log.info("partition %s/%s: %s rows", item["table"], item["partition"], item["rows"])
        runs = report["runs"]
        verb = "would remove" if report["dry_run"] else "removed"
        tell(
            context["ti"],
            [f"{verb} {runs['objects']:,} objects of the runs store, {len(report['partitions']):,} partitions"],
        )
        self.log.info(
            "%s %s objects of the runs store (%s bytes, %s), %s partitions, %s bytes of replaced content",
            verb, runs["objects"], runs["bytes"], runs["by_stage"], len(report["partitions"]), report["replaced_bytes"],
        )  # fmt: skip
        return report
