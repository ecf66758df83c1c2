"""What every stage operator does: settings in, one call into the pipeline, a manifest out."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from lead_scoring_airflow.notes import XCOM_ERROR, reason_of, tell

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.settings import Settings
    from lead_scoring.stage import Manifest

LONGEST_TEXT = 1000  # characters of a text parameter: a path
log = logging.getLogger(__name__)


class StageOperator(BaseOperator):
    """Base of the operators. A subclass names its arguments and calls one method of the pipeline.

    ``execute`` returns the stage's manifest as a dict: paths, digests, counts and figures, never data. When it fails,
    one line of why is logged before the traceback and pushed under the XCom
    key ``error``, so that a person need not search the log. What the run's note says of it is :meth:`told`.

    :raises BadInput: the run was triggered with a parameter that its DAG does not have: a misspelt ``dry_run_sync``
        must not send anything; or one that is not a line of printable text.
    """

    ui_color = "#e8eef7"

    @abstractmethod
    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        """Call the pipeline. Imports of the library belong in here: a DAG file is parsed every few seconds."""

    def told(self, manifest: Manifest) -> Sequence[str]:  # noqa: ARG002
        """What the run's note says of this stage, as phrases in Markdown."""
        return ()

    def execute(self, context: Context) -> dict[str, Any]:
        with reported_errors(context):
            refuse_wrong_params(context)
            manifest = self.stage(make_pipeline(), context)
            if phrases := self.told(manifest):
                tell(context["ti"], phrases)
        self.log.info("%s %s: %s", manifest.stage, manifest.key, dict(manifest.counts) or dict(manifest.figures))
        return manifest.to_dict()


def make_pipeline() -> Pipeline:
    from lead_scoring.pipeline import Pipeline
    from lead_scoring.settings import load_settings

    settings = load_settings()
    return Pipeline(settings, **google_clients(settings))


def google_clients(settings: Settings) -> dict[str, Any]:
    """Clients of the Airflow connection ``warehouse.conn_id``, for the services that the settings use."""
    clients: dict[str, Any] = {}
    if conn_id := settings.warehouse.conn_id:
        if any(
            settings.location(place).startswith("gs://") for place in (settings.storage.models, settings.storage.runs)
        ):
            from airflow.providers.google.cloud.hooks.gcs import GCSHook

            clients["storage_client"] = GCSHook(gcp_conn_id=conn_id).get_conn()
        if settings.warehouse.engine == "bigquery":
            from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook

            hook = BigQueryHook(gcp_conn_id=conn_id, location=settings.warehouse.location)
            clients["bigquery_client"] = hook.get_client(
                project_id=settings.warehouse.project, location=settings.warehouse.location
            )
    return clients


class reported_errors:  # noqa: N801 - reads as a statement
    """``with reported_errors(context):`` keeps the error's one line where the UI and scripts find it."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception):  # waiting for a person is none
            return
        message = reason_of(error)
        log.error("%s", message)  # a line of its own: Airflow folds the traceback that follows, and clips its last line
        self.context["ti"].xcom_push(key=XCOM_ERROR, value=message)


def refuse_wrong_params(context: Context) -> None:
    """The form checks texts by a pattern; a run from elsewhere, or with a character that a pattern cannot name, is
    refused by its first task and not only by the one that reads the text."""
    from lead_scoring.text import one_line

    for name, value in context["params"].items():
        if isinstance(value, str):
            one_line(value, name, maximum=LONGEST_TEXT)
    known = context["dag"].params
    if unknown := sorted(set(context["dag_run"].conf or {}) - set(known)):
        from lead_scoring.errors import BadInput

        raise BadInput(f"trigger parameter {unknown[0]!r} is unknown; this DAG has {', '.join(sorted(known))}")


def manifest(data: Mapping[str, Any]) -> Manifest:
    """An upstream task's XCom as a manifest."""
    from lead_scoring.stage import Manifest

    return Manifest.from_dict(data)


def manifests(items: Sequence[Mapping[str, Any]]) -> list[Manifest]:
    return [manifest(item) for item in items]


def as_bool(value: object) -> bool:
    """A templated flag: Jinja renders a Param's True as text."""
    return str(value).strip().lower() in ("true", "1", "yes")


def emit(context: Context, asset: Asset, **extra: Any) -> None:
    """Attach figures to the event of an outlet."""
    context["outlet_events"][asset].extra.update(extra)
