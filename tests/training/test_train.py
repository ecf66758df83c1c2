"""The booster learns from the past, is judged on what came later, and equal inputs give equal bytes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from lead_scoring.errors import BadInput
from lead_scoring.evaluation import auc_roc, constant_log_loss, log_loss
from lead_scoring.model.calibrators import fit_platt
from lead_scoring.training import train
from lead_scoring.training.families import choose_family
from lead_scoring.training.rows import read_rows
from lead_scoring.training.search import constant_losses, platt_losses
from lead_scoring.training.split import folds_of, split_rows, stratified_folds

AS_OF = dt.date(2024, 12, 21)


def _train(files, feature_set, settings, work, **options):
    work.mkdir(exist_ok=True)
    return train(
        files, feature_set=feature_set, as_of=AS_OF, settings=settings, label_window_days=30, work=work, **options
    )


def _report(output) -> dict:
    return json.loads(output.files["training_report.json"].read_text())


def test_the_holdout_follows_in_time_with_a_gap_of_the_label_window(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    output = _train([feature_table(3000)], feature_set, training_settings, tmp_path / "work")
    assert output.figures["split"] == "time_ordered"
    scores = pq.read_table(output.files["scores.parquet"])
    ends = {}
    for name in ("calibration", "holdout"):
        dates = scores.filter(pc.equal(scores["split"], name))["pit_date"].to_pylist()
        ends[name] = (min(dates), max(dates))
    assert (ends["holdout"][0] - ends["calibration"][1]).days > 30
    assert scores.num_rows + output.counts["gap_leads"] == 3000
    assert output.counts["holdout_leads"] == pytest.approx(600, abs=20)
    parts = _report(output)["split"]["parts"]
    assert parts["holdout"]["first"] == ends["holdout"][0].isoformat()
    assert parts["train"] == parts["calibration"]  # every lead before the holdout calibrates, by cross-fitting
    assert output.counts["gap_leads"] == pytest.approx(180, abs=60)  # one gap of 31 days in 500


def test_equal_inputs_give_equal_bytes_and_another_seed_gives_another_search(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    table = feature_table()
    one = _train([table], feature_set, training_settings, tmp_path / "one")
    two = _train([table], feature_set, training_settings, tmp_path / "two")
    other = _train([table], feature_set, dataclasses.replace(training_settings, seed=7), tmp_path / "other")
    for name in one.files:
        assert one.files[name].read_bytes() == two.files[name].read_bytes(), name
    assert _report(one)["search"] != _report(other)["search"]
    assert one.figures == two.figures


def test_without_dates_the_part_of_a_lead_is_fixed_whatever_else_the_table_holds(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    first = feature_table(1500, dated=False)
    grown = tmp_path / "grown.parquet"
    more = pq.read_table(feature_table(700, dated=False, seed=2, name="more.parquet"))
    pq.write_table(pa.concat_tables([more, pq.read_table(first)]), grown)
    one = _train([first], feature_set, training_settings, tmp_path / "one")
    two = _train([grown], feature_set, training_settings, tmp_path / "two")
    assert one.figures["split"] == "lead_hash"
    assert one.figures["split_note"].startswith("no dates: not out of time")
    assert one.figures["out_of_time"] is False
    assert one.counts["holdout_leads"] == pytest.approx(300, abs=60)
    parts = [
        dict(zip(scores["lead_id"].to_pylist(), scores["split"].to_pylist(), strict=True))
        for scores in (pq.read_table(output.files["scores.parquet"]) for output in (one, two))
    ]
    assert len(parts[1]) == 2200
    assert parts[0].items() <= parts[1].items()
    assert _report(one)["split"]["rule"] == _report(two)["split"]["rule"] == {
        "method": "lead_hash", "key": "lead_id", "seed": 42, "shares": {"holdout": 0.2},
    }  # fmt: skip


def test_numbered_rows_are_split_by_their_values_not_by_their_number(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    table = pq.read_table(feature_table(dated=False))
    parts = []
    for name, rows in (("one", table), ("two", table.take(pa.array(range(1499, -1, -1))))):
        numbered = _set(rows, "lead_id", [f"row-{number:07d}" for number in range(1, 1501)])
        pq.write_table(numbered, tmp_path / f"{name}.parquet")
        output = _train([tmp_path / f"{name}.parquet"], feature_set, training_settings, tmp_path / name)
        assert _report(output)["split"]["rule"]["key"] == "features and target"
        assert _report(output)["split"]["rule"]["feature_set"] == feature_set.digest
        parts.append(sorted(pq.read_table(output.files["holdout.parquet"])["tenure"].to_pylist()))
    assert parts[0] == parts[1]
    assert len(parts[0]) == pytest.approx(300, abs=60)


@pytest.mark.parametrize("numbered", [False, True])
def test_a_lead_that_is_learned_from_cannot_judge(
    feature_table, feature_set, training_settings, tmp_path, numbered
) -> None:
    table, other = (pq.read_table(feature_table(seed=seed, name=f"{seed}.parquet")) for seed in (1, 9))
    holdout = pa.concat_tables([other.slice(0, 400), table.slice(7, 3)])
    message = "3 of 403 holdout leads are in the training table too .by lead_id; lead lead-1-000007.: leave them out"
    if numbered:
        holdout = _set(holdout, "lead_id", [f"row-{number:07d}" for number in range(1, 404)])
        message = "3 of 403 .* row-0000401 of the holdout has the values of lead-1-000007.: leave them out of one of"
    pq.write_table(holdout, tmp_path / "holdout.parquet")
    with pytest.raises(BadInput, match=message):
        _train(
            [tmp_path / "1.parquet"], feature_set, training_settings, tmp_path / "work",
            holdout_files=[tmp_path / "holdout.parquet"],
        )  # fmt: skip


@pytest.mark.parametrize(("days_later", "out_of_time"), [(31, True), (30, False)])
def test_a_given_holdout_is_out_of_time_only_a_label_window_after_the_last_lead_that_calibrated(
    feature_table, feature_set, training_settings, tmp_path, days_later, out_of_time
) -> None:
    path = feature_table()
    last = max(pq.read_table(path)["pit_date"].to_pylist())
    begins = last + dt.timedelta(days=days_later)
    held = pq.read_table(feature_table(400, seed=9, name="holdout.parquet"))
    held = _set(held, "pit_date", [begins + dt.timedelta(days=row % 50) for row in range(400)])
    pq.write_table(held, tmp_path / "holdout.parquet")
    output = _train(
        [path], feature_set, training_settings, tmp_path / "work", holdout_files=[tmp_path / "holdout.parquet"]
    )
    split = _report(output)["split"]
    assert split["parts"]["holdout"]["first"] == begins.isoformat()
    assert split["parts"]["holdout"]["last"] == (begins + dt.timedelta(days=49)).isoformat()
    assert split["out_of_time"] is output.figures["out_of_time"] is out_of_time
    assert ("not out of time" in split["note"]) is not out_of_time


def test_too_little_to_hold_out_is_cross_fitted_and_says_so(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    table = feature_table(300, rate=-2.4, seed=5)
    output = _train([table], feature_set, training_settings, tmp_path / "work")
    assert output.figures["split"] == "cross_fit"
    assert output.figures["how"] == "cross_fit"
    assert "too little to hold out" in output.figures["split_note"]
    scores = pq.read_table(output.files["scores.parquet"])
    assert set(scores["split"].to_pylist()) == {"calibration"}
    assert scores.num_rows == 300
    booster = xgb.Booster(model_file=str(output.files["model.ubj"]))
    rows = pq.read_table(table)
    features = np.stack([rows[column].to_numpy() for column in feature_set.columns], axis=1)
    fitted = booster.predict(xgb.DMatrix(features, feature_names=feature_set.names), output_margin=True)
    assert not np.allclose(fitted, scores["margin"].to_numpy())  # out of fold, not of the model that saw the lead
    assert auc_roc(fitted, rows["target"].to_numpy()) > output.figures["auc_roc"]["value"]
    assert pq.read_table(output.files["holdout.parquet"]).num_rows == 0


def test_a_given_holdout_judges_and_is_not_learned_from(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    holdout = feature_table(400, seed=9, name="holdout.parquet")
    output = _train([feature_table()], feature_set, training_settings, tmp_path / "work", holdout_files=[holdout])
    assert output.counts["holdout_leads"] == 400
    held = pq.read_table(output.files["holdout.parquet"])
    assert held["lead_id"].to_pylist() == pq.read_table(holdout)["lead_id"].to_pylist()
    assert "a table of its own" in output.figures["split_note"]
    scores = pq.read_table(output.files["scores.parquet"])
    assert scores["split"].to_pylist() == ["calibration"] * 1500 + ["holdout"] * 400


def test_the_model_is_read_by_the_names_of_the_feature_set_and_its_margins_are_those_in_the_file(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    output = _train([feature_table()], feature_set, training_settings, tmp_path / "work")
    booster = xgb.Booster(model_file=str(output.files["model.ubj"]))
    assert booster.feature_names == feature_set.names
    held = pq.read_table(output.files["holdout.parquet"])
    features = np.stack([held[column].to_numpy() for column in feature_set.columns], axis=1)
    margins = booster.predict(xgb.DMatrix(features, feature_names=feature_set.names), output_margin=True)
    scores = pq.read_table(output.files["scores.parquet"])
    scores = scores.filter(pc.equal(scores["split"], "holdout"))
    assert scores["lead_id"].to_pylist() == held["lead_id"].to_pylist()
    assert np.array_equal(scores["margin"].to_numpy(), margins.astype(np.float64))


def test_the_report_holds_search_baselines_importance_segments_and_golden_leads(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    report = _report(_train([feature_table(3000)], feature_set, training_settings, tmp_path / "work"))
    names = [row["name"] for row in report["search"]["candidates"]]
    assert sorted(names) == ["document", "trial 1", "trial 2"]
    losses = [row["log_loss"] for row in report["search"]["candidates"]]
    assert losses == sorted(losses)
    assert losses[0] < report["search"]["constant"]
    weights = {row["name"]: row["parameters"]["scale_pos_weight"] for row in report["search"]["candidates"]}
    assert weights["trial 1"] == 1.0
    assert weights["trial 2"] > 1.0
    assert [row["model"] for row in report["baselines"]["rows"]] == [
        "logistic regression",
        "average",
        "booster",
        "constant",
    ]
    assert report["importance"]["top_features"][0] == "tenure"
    assert report["importance"]["permutation"][0]["feature"] == "tenure"
    assert any(row["segment"] == "is_mobile" for row in report["segments"]["rows"])
    assert any(row["segment"].startswith("contacted 2024 Q") for row in report["segments"]["rows"])
    assert any(lead["gap days"] is None for lead in report["golden"])
    assert report["in_sample"]["how"] == "in_sample"
    assert report["evaluation"]["how"] == "holdout"
    assert set(report["libraries"]) == {"numpy", "scikit-learn", "xgboost"}


def test_a_linear_world_ships_the_logistic_regression_and_reports_xgboost(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    holdout = feature_table(4000, seed=11, name="holdout.parquet", effect=2.0)
    output = _train(
        [feature_table(1500, effect=2.0)], feature_set, training_settings, tmp_path / "work", holdout_files=[holdout]
    )
    report = _report(output)
    assert report["chosen"] == report["family"]["chosen"] == "logistic regression"
    assert "logistic regression" in report["baselines"]["sentence"]
    rows = {row["model"]: row for row in report["baselines"]["rows"]}
    assert set(rows) == {"logistic regression", "average", "booster", "constant"}
    assert rows["booster"]["auc_roc"] > 0.7
    # every lead of the shipped model is a sum of one step function a feature
    assert len(_trees(output)) == len(feature_set.names)


def test_a_world_of_interactions_ships_what_has_boosters(feature_set, training_settings, tmp_path) -> None:
    generator = np.random.default_rng(4)
    n = 6000
    first, second, noise = generator.normal(size=(3, n))
    target = (generator.random(n) < np.where(first * second > 0, 0.25, 0.02)).astype(np.int64)  # no line sees it
    table = pa.table({
        "lead_id": [f"lead-{row}" for row in range(n)],
        "pit_date": pa.array([dt.date(2023, 7, 1) + dt.timedelta(row % 500) for row in range(n)], pa.date32()),
        "target": target,
        "tenure": first,
        "gap_days": second,
        "noise": noise,
        "is_mobile": np.zeros(n),
    })
    pq.write_table(table, tmp_path / "train.parquet")
    settings = dataclasses.replace(training_settings, search_trials=3)
    output = _train([tmp_path / "train.parquet"], feature_set, settings, tmp_path / "work")
    report = _report(output)
    assert report["chosen"] in {"average", "booster"}
    losses = report["family"]["log_loss"]
    assert losses[report["chosen"]] < losses["logistic regression"] - 0.01
    assert len(_trees(output)) > 20


def test_the_family_is_the_preferred_one_within_one_standard_error_of_the_best() -> None:
    generator = np.random.default_rng(0)
    common = generator.gamma(0.5, size=4000)

    def losses(**worse: float) -> dict[str, np.ndarray]:
        return {name: common + shift + generator.normal(0, 0.1, 4000) for name, shift in worse.items()}

    equal = {"logistic regression": 0.0, "average": 0.0, "booster": 0.0}
    assert choose_family(losses(**equal))[0] == "logistic regression"
    assert choose_family(losses(**{**equal, "logistic regression": 0.02}))[0] == "average"  # stability counts
    name, reason = choose_family(losses(**{**equal, "logistic regression": 0.02, "average": 0.02}))
    assert name == "booster"
    assert "lowest cross-fitted log loss" in reason


def test_another_seed_moves_no_lead_to_another_fold_and_changes_a_linear_model_in_nothing(
    feature_table, feature_set, training_settings, tmp_path
) -> None:
    table = feature_table(2500, effect=2.0)
    outputs = [
        _train([table], feature_set, dataclasses.replace(training_settings, seed=seed), tmp_path / str(seed))
        for seed in (1, 2)
    ]
    assert outputs[0].figures["chosen"] == "logistic regression"
    one, two = (output.files["scores.parquet"].read_bytes() for output in outputs)
    assert one == two


def _trees(output) -> list:
    booster = xgb.Booster(model_file=str(output.files["model.ubj"]))
    return booster.get_dump()


def test_cross_fitted_losses_hold_no_fit_on_the_leads_they_judge() -> None:
    """Margins of pure noise: a fit on the judged leads themselves would beat the constant, one on others does not."""
    better = np.zeros(2)
    for seed in range(40):
        generator = np.random.default_rng(seed)
        margin, target = generator.normal(size=400), (generator.random(400) < 0.1).astype(np.int8)
        folds = stratified_folds(target, 5, seed)
        loss = platt_losses(margin, target, folds).mean()
        flattered = log_loss(fit_platt(margin, target).apply(margin), target)
        better += [loss < constant_losses(target, folds).mean(), flattered < constant_log_loss(target.mean())]
    assert better[1] >= 20  # the other half ranks the wrong way round, which a calibrator does not turn
    assert better[0] <= better[1] / 2


def test_the_constant_of_the_search_is_the_rate_of_the_other_folds() -> None:
    target = np.array([1, 0, 0, 0, 1, 1, 0, 0], dtype=np.int8)
    folds = [(np.arange(4, 8), np.arange(4)), (np.arange(4), np.arange(4, 8))]
    expected = (log_loss(np.full(4, 0.5), target[:4]) + log_loss(np.full(4, 0.25), target[4:])) / 2
    assert constant_losses(target, folds).mean() == pytest.approx(expected)


def _changed(path: Path, change) -> Path:
    pq.write_table(change(pq.read_table(path)), path)
    return path


def _set(table: pa.Table, name: str, values) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


BAD = {
    "one class": (lambda t: _set(t, "target", [0] * t.num_rows), "has 0 positive"),
    "few positives": (lambda t: _set(t, "target", [int(i < 9) for i in range(t.num_rows)]), "has 9 positive"),
    "a label of 3": (lambda t: _set(t, "target", [3, *t["target"].to_pylist()[1:]]), "target is .*3.*neither 0 nor 1"),
    "an empty label": (
        lambda t: _set(t, "target", [None, *t["target"].to_pylist()[1:]]),
        "target is null in 1 of 1500",
    ),
    "no rows": (lambda t: t.slice(0, 0), "has 0 training rows"),
    "a missing column": (lambda t: t.drop_columns(["noise"]), "column 'noise' is missing"),
    "a text column": (lambda t: _set(t, "noise", ["a"] * t.num_rows), "column 'noise' is of type string"),
    "infinity": (lambda t: _set(t, "noise", [float("inf")] * t.num_rows), "column 'noise' is infinite in 1500"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_rows_that_cannot_be_trained_on_are_refused_with_column_value_and_count(
    feature_table, feature_set, training_settings, tmp_path, case: str
) -> None:
    change, message = BAD[case]
    with pytest.raises(BadInput, match=message) as refused:
        _train([_changed(feature_table(), change)], feature_set, training_settings, tmp_path / "work")
    assert "\n" not in str(refused.value)


def test_no_training_shard_at_all_is_refused(feature_set, training_settings, tmp_path) -> None:
    with pytest.raises(BadInput, match="no training shard"):
        _train([], feature_set, training_settings, tmp_path / "work")


@pytest.mark.parametrize("dated", [True, False])
def test_the_leads_of_an_advisor_fall_into_one_part_and_one_fold(
    feature_table, feature_set, training_settings, dated
) -> None:
    path = feature_table(1500, dated=dated)
    table = pq.read_table(path)
    advisors = [str(number % 1100) for number in range(1500)]  # 400 advisors have two leads
    pq.write_table(table.append_column("advisor_crd", pa.array(advisors)), path)
    rows = read_rows([path], feature_set)
    split = split_rows(rows, training_settings, 30, 0.2)
    names = np.array(advisors)
    assert not set(names[split.parts["train"]]) & set(names[split.parts["holdout"]])
    if dated:
        assert "earlier leads of advisors with a lead in the holdout are left out" in split.note
        assert rows.dates is not None
        assert rows.dates[split.parts["holdout"]].min() > rows.dates[split.parts["train"]].max()
    folds = folds_of(rows)
    assert sorted(np.concatenate([held for _, held in folds]).tolist()) == list(range(1500))
    for learn, held in folds:
        assert not set(names[learn]) & set(names[held])
        assert rows.target[held].mean() == pytest.approx(rows.target.mean(), abs=0.02)
