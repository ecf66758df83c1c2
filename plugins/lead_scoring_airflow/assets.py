"""What the runs read and make, in the order in which the data go: Airflow's asset graph is drawn from it.

The events of what is made carry rows, version and figures; others can wait for them.
"""

from __future__ import annotations

from airflow.sdk import Asset

GROUP = "lead_scoring"

SOURCES = [
    Asset(name=name, uri=f"lead-scoring://warehouse/{name}", group=GROUP)
    for name in ("leads", "employment_history", "firm_snapshots")
]
LEAD_FEATURES = Asset(name="lead_features", uri="lead-scoring://warehouse/lead_features", group=GROUP)
PRODUCTION_MODEL = Asset(name="production_model", uri="lead-scoring://models/production", group=GROUP)
LEAD_SCORES = Asset(name="lead_scores", uri="lead-scoring://warehouse/lead_scores", group=GROUP)
SALESFORCE_LEADS = Asset(name="salesforce_leads", uri="lead-scoring://salesforce/Lead", group=GROUP)
