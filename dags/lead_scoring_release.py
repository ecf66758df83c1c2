"""
### Release a model, then score everyone with it

Run by hand (or by another system through REST) when a new model is wanted. Each task does one stage, can be retried or
killed at any moment, and returns a small manifest: open **XCom** on a task to see its counts and figures. The header
of the run's page says what came of it, and leads to the model card and to Salesforce; so do the buttons under
**Details** of `hash_version`, `update_registry` and `sync_salesforce`.

| task | makes | stops the release when |
|---|---|---|
| `materialize_features` | the feature table as of the date | a column is missing; too many rows are set aside |
| `train_model` | the booster and its baselines | a feature looks as if it knows the future |
| `calibrate_model` | probabilities, buckets, `models/calibrated/` | the buckets say nothing |
| `hash_version` | the version id, the package in `models/production/` | a file of the package is not whole |
| `approve_release` | a person's yes (only if asked for), also against the gate | rejected, or no answer in a day |
| `update_registry` | the champion | the gate says the model is no better, or cannot tell |
| `batch_score` | scores, one mapped task a shard | a shard is not the one that was published |
| `publish_scores` | the day's `lead_features` and `lead_scores` | rows are missing, doubled, or out of range |
| `sync_salesforce` | changed scores in Salesforce | the org is down or rejects too many rows |

A red task says why in one line, in the header of its page and of the run's. Bad data fails at once; a service that does
not answer is tried again. After the mend, clear the red task: what is finished is not done again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, TaskGroup

from lead_scoring_airflow.defaults import (
    AS_OF,
    AS_OF_PARAM,
    DEFAULT_ARGS,
    DEFAULT_BUCKET_POLICY,
    DEFAULT_FEATURE_SET,
    FEATURE_SETS,
    OWNER_LINKS,
    RUN_DAY,
    approver_of,
    dry_run_param,
    figures_of,
    text_param,
)
from lead_scoring_airflow.delivery import deliver
from lead_scoring_airflow.operators.approve_release import ApproveReleaseOperator
from lead_scoring_airflow.operators.calibrate_model import CalibrateModelOperator
from lead_scoring_airflow.operators.hash_version import HashVersionOperator
from lead_scoring_airflow.operators.materialize_features import MaterializeFeaturesOperator
from lead_scoring_airflow.operators.train_model import TrainModelOperator
from lead_scoring_airflow.operators.update_registry import UpdateRegistryOperator

FINDINGS = "{{ params.accept_findings or '' }}"
GATE = "ti.xcom_pull('hash_version')['figures']['gate']"

with DAG(
    dag_id="lead_scoring_release",
    description="Train, calibrate, version and register a model; score everyone; sync Salesforce",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # it runs only when somebody asks
    default_args=DEFAULT_ARGS,
    owner_links=OWNER_LINKS,
    doc_md=__doc__,
    tags=["lead-scoring", "impact/tier_1", "triage/data-science"],
    params={
        "as_of": AS_OF_PARAM,
        "feature_set": Param(
            DEFAULT_FEATURE_SET, enum=FEATURE_SETS, title="Feature set", description="A set of the feature catalog."
        ),
        "features": text_param(
            "Ready feature table",
            "Path of a Parquet, CSV or JSON-lines file or of a folder of them, a gs:// address, or a warehouse table. "
            "Empty: compute the features from the source tables.",
            maximum=1000,
        ),
        "maps": text_param(
            "Columns of that table",
            "Names in the ready table that are columns of ours, like contacted_date=contacted_at, Converted=target. "
            "A name with nothing after the sign is not read. Empty: all have our names.",
            maximum=1000,
        ),
        "bucket_policy": Param(
            DEFAULT_BUCKET_POLICY,
            enum=["lift", "absolute", "capacity"],
            title="Bucket policy",
            description="lift: multiples of the base rate. absolute: the document's 0.7/0.5/0.3. capacity: shares.",
        ),
        "accept_findings": text_param(
            "Accept findings because",
            "A reason lets the release pass leak and bucket findings. The model card has it. Empty: they stop it.",
        ),
        "require_approval": Param(
            False, type="boolean", title="Ask for approval", description="Wait for a person before the registry."
        ),
        "dry_run_sync": dry_run_param(),
    },
) as dag:
    features = MaterializeFeaturesOperator(
        task_id="materialize_features",
        as_of=AS_OF,
        run_day=RUN_DAY,
        feature_set="{{ params.feature_set }}",
        features="{{ params.features or '' }}",
        maps="{{ params.maps or '' }}",
        doc_md="Features as of a date, from the source tables or a ready table. Bad rows are set aside and counted.",
    )
    with TaskGroup("model", prefix_group_id=False, tooltip="From features to a version in models/production"):
        trained = TrainModelOperator(
            task_id="train_model",
            features=features.output,
            accept_findings=FINDINGS,
            doc_md="Leak tripwire, then XGBoost beside a logistic and a constant baseline on a time-ordered split.",
        )
        calibrated = CalibrateModelOperator(
            task_id="calibrate_model",
            features=features.output,
            trained=trained.output,
            bucket_policy="{{ params.bucket_policy }}",
            accept_findings=FINDINGS,
            doc_md="The simplest calibrator that cross-fitting cannot tell from the best. See `models/calibrated/`.",
        )
        packaged = HashVersionOperator(
            task_id="hash_version",
            features=features.output,
            trained=trained.output,
            calibrated=calibrated.output,
            accept_findings=FINDINGS,
            doc_md="`v1-YYYYMMDD-<8 hex>` over the model's bytes and the as-of date; the same on every retry.",
        )
    approved = ApproveReleaseOperator(
        task_id="approve_release",
        require_approval="{{ params.require_approval }}",
        subject=f"{{{{ 'Release' if {GATE}.accepted else 'Against the gate: release' }}}} "
        "{{ ti.xcom_pull('hash_version')['figures']['version_id'] }}?",
        body=figures_of("hash_version") + f"- Gate: {{{{ {GATE}.reasons | join('; ') }}}}\n\n"
        f"{{{{ '' if {GATE}.accepted else 'A yes overrules the gate, and the registry says whose it was. ' }}}}"
        "The Model card button under Details of hash_version has the rest.",
        response_timeout=timedelta(days=1),
        doc_md="Skipped unless the run asks for an approval. No answer in a day is a no.",
    )
    registered = UpdateRegistryOperator(
        task_id="update_registry",
        packaged=packaged.output,
        trained=trained.output,
        calibrated=calibrated.output,
        reason="release {{ run_id }}",
        approved_by=approver_of("approve_release"),
        trigger_rule="none_failed",  # approve_release is skipped when nobody asked for it
        doc_md="Exactly one version is in production. The event log says who, when and why.",
    )
    deliver(features, "{{ ti.xcom_pull('update_registry')['figures']['version'] }}", after=registered)

    features >> trained >> calibrated >> packaged >> approved >> registered
    packaged >> registered
