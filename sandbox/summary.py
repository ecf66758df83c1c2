"""What a run made, for people: printed at the end of ``make demo`` from the manifests that the tasks returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox.airflow_client import AirflowClient
from sandbox.call_list import best_leads, print_call_list
from sandbox.stack import state_folder

TASKS = (
    "materialize_features", "train_model", "calibrate_model", "hash_version", "update_registry", "publish_scores",
    "sync_salesforce",
)  # fmt: skip

PLAIN = {
    "baseline_rate": "conversion rate, all leads",
    "test_auc_pr": "AUC-PR",
    "test_auc_roc": "AUC-ROC",
    "top_decile_lift": "lift of the best tenth",
    "top_decile_rate": "conversion rate, best tenth",
    "leads": "leads with a score",
    "unchanged": "the org has the score already",
    "parked": "refused earlier today",
    "closed": "converted, deleted or unknown leads",
    "changed": "new or changed scores",
    "sent": "sent, by this run and its earlier tries",
    "sent_now": "sent just now",
    "accepted": "taken by Salesforce",
    "set_aside": "cannot be sent",
    "rejected": "refused by Salesforce",
    "exhausted": "refused for a passing reason",
    "unprocessed": "not reached by Salesforce",
}


def print_summary(client: AirflowClient, dag_id: str, run_id: str, *, models: Path, org: str) -> None:
    made = {task: client.xcom(dag_id, run_id, task) for task in TASKS}
    console = Console(highlight=False, width=110)
    release = made["update_registry"]["figures"]
    features = made["materialize_features"]
    before = release["previous_champion"]
    changed = "as before" if before == release["version"] else f"before: {before or 'none'}"
    console.print(f"\n[bold]Version {release['version']}[/bold] is in production ({changed})")
    counts = features["counts"]
    console.print(
        f"Leads: {counts['train_rows']:,} labelled ({counts['train_positives']:,} conversions), "
        f"{counts['score_rows']:,} to score, {counts['rows_rejected']:,} rows set aside with reasons"
    )
    _performance(console, made["hash_version"]["figures"])
    _calibration(console, made["calibrate_model"]["figures"])
    _buckets(console, made["publish_scores"], made["calibrate_model"]["figures"])
    _sync(console, made["sync_salesforce"])
    _files(console, models, release["version"])
    print_call_list(console, best_leads(org))


def _performance(console: Console, figures: dict[str, Any]) -> None:
    performance = figures["performance"]
    console.print(f"\nFigures ({figures['how']}; {figures['split']['note']}):")
    table = Table()
    for name in performance:
        table.add_column(PLAIN.get(name, name))
    table.add_row(*(_number(value) for value in performance.values()))
    console.print(table)


def _calibration(console: Console, figures: dict[str, Any]) -> None:
    in_sample = {row["method"]: row for row in figures["comparison"]["in_sample"]["rows"]}
    cross_fit = figures["comparison"]["cross_fit"]
    console.print(
        f"\nCalibration on {cross_fit['n']:,} leads, {cross_fit['positives']} conversions: "
        "in sample as the document has it, cross-fit beside it"
    )
    table = Table()
    table.add_column("method")
    for name in ("in-sample Brier", "in-sample log loss", "cross-fit Brier", "cross-fit log loss"):
        table.add_column(name, justify="right")
    table.add_column("chosen")
    for row in cross_fit["rows"]:
        method = row["method"]
        beside = in_sample.get(method, {})
        table.add_row(
            method,
            _number(beside.get("brier")), _number(beside.get("log_loss")),
            _number(row["brier"]), _number(row["log_loss"]),
            "yes" if method == figures["selected"] else "",
        )  # fmt: skip
    console.print(table)
    console.print(figures["reason"])


def _buckets(console: Console, published: dict[str, Any], calibrated: dict[str, Any]) -> None:
    buckets = published["figures"]["buckets"]
    console.print(f"\nScores as of {published['as_of']}: {sum(buckets.values()):,} leads")
    table = Table()
    table.add_column("bucket")
    table.add_column("leads", justify="right")
    for bucket, count in buckets.items():
        table.add_row(bucket, f"{count:,}")
    console.print(table)
    policy = calibrated["bucket_policy"]
    cuts = ", ".join(f"{name} from {cut:.4f}" for name, cut in zip(buckets, policy["cuts"], strict=False))
    console.print(f"Bucket policy {policy['name']}: {cuts}")


def _sync(console: Console, synced: dict[str, Any]) -> None:
    counts, figures = synced["counts"], synced["figures"]
    reason = figures.get("dry_run_reason")
    console.print(f"\nSalesforce, {f'dry run: {reason}' if reason else 'through Bulk API 2.0'}:")
    table = Table(show_header=False)
    table.add_column("what")
    table.add_column("leads", justify="right")
    for name, count in counts.items():
        if count or name in ("leads", "sent_now"):
            table.add_row(PLAIN.get(name, name), f"{count:,}")
    console.print(table)
    for message, count in figures.get("messages", {}).items():
        console.print(f"  {count:,} not taken: {message}")


def _files(console: Console, models: Path, version: str) -> None:
    """Where the run's files are; docs/laptop.md says what each folder is."""
    count = sum(path.is_file() for path in models.rglob("*"))
    console.print("\nFiles (docs/laptop.md explains both folders):")
    console.print(f"  {models}: {count} files; the model card is production/model_card_{version}.md", soft_wrap=True)
    console.print(f"  {state_folder()}: raw tables, features and scores, the org, Airflow and its logs", soft_wrap=True)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}" if abs(value) < 0.2 else f"{value:.4f}"
    return "" if value is None else str(value)
