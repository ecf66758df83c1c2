"""Every setting has one default, can be set from the environment, and is refused by its full name."""

from __future__ import annotations

import pickle
import re

import pytest

from lead_scoring.cli import main
from lead_scoring.errors import BadInput
from lead_scoring.settings import SECTIONS, allowed, load_settings, project_home, reference_page


def test_the_defaults_load_and_the_documents_cut_points_are_there():
    settings = load_settings(environment={})
    assert settings.buckets.policy == "lift"
    assert settings.buckets.absolute == (0.7, 0.5, 0.3)


def test_an_environment_variable_overrides_a_default():
    settings = load_settings(environment={"LEAD_SCORING__STORAGE__MODELS": "gs://bucket/models"})
    assert settings.location(settings.storage.models) == "gs://bucket/models"


def test_a_date_in_the_environment_stays_text():
    settings = load_settings(environment={"LEAD_SCORING__FEATURES__DEFAULT_AS_OF": "2024-12-21"})
    assert settings.features.default_as_of == "2024-12-21"


def test_a_relative_folder_starts_at_the_projects_root():
    settings = load_settings(environment={})
    assert settings.location("models") == str(settings.home / "models")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BUCKETS__POLICIES", "lift", "setting LEAD_SCORING__BUCKETS__POLICIES is unknown; buckets has"),
        ("NOTHING__POLICY", "lift", "setting LEAD_SCORING__NOTHING__POLICY is unknown; the sections are"),
        ("HOME", "/elsewhere", "setting LEAD_SCORING__HOME is unknown"),
        ("STORAGE", "models", "setting LEAD_SCORING__STORAGE is unknown; storage has"),
        ("BUCKETS__POLICY", "lft", "buckets.policy is 'lft'; it must be lift or absolute or capacity"),
        ("BUCKETS__ON_NOT_BETTER", "stop", "buckets.on_not_better is 'stop'; it must be refuse or warn"),
        ("BUCKETS__LIFT", "3", "buckets.lift is 3; it must be three numbers above 0"),
        ("BUCKETS__LIFT", "[3, 2]", "buckets.lift is [3, 2] at place 3; it must be three numbers above 0"),
        ("BUCKETS__LIFT", "[3, -2, 1]", "buckets.lift is -2 at place 2; it must be three numbers above 0"),
        ("BUCKETS__LIFT", "[1, 2, 3]", "buckets.lift is [1.0, 2.0, 3.0]; the three cuts must fall"),
        ("BUCKETS__ABSOLUTE", "[70, 50, 30]", "buckets.absolute is [70.0, 50.0, 30.0]; the cuts are scores"),
        ("BUCKETS__CAPACITY", "[0.5, 0.6, 1.4]", "they must rise, up to 1"),
        ("BUCKETS__LIFT", "[3, 2", "setting LEAD_SCORING__BUCKETS__LIFT, line 1 is no YAML"),
        ("WAREHOUSE__ENGINE", "bigqury", "warehouse.engine is 'bigqury'; it must be duckdb or bigquery"),
        ("WAREHOUSE__LOCATION", "US; DROP", "warehouse.location is 'US; DROP'; it must be a region"),
        ("TRAINING__SEED", "many", "training.seed is 'many'; it must be a whole number from 0"),
        ("TRAINING__SEED", "-1", "training.seed is -1; it must be a whole number from 0"),
        ("TRAINING__HOLDOUT_SHARE", "1.5", "training.holdout_share is 1.5; it must be a share between 0 and 1"),
        ("TRAINING__HOLDOUT_SHARE", "20%", "training.holdout_share is '20%'; it must be a share between 0 and 1 (20 %"),
        ("CALIBRATION__FOLDS", "1", "calibration.folds is 1; it must be a whole number from 2"),
        ("FEATURES__ROWS_PER_SHARD", "0", "features.rows_per_shard is 0; it must be a whole number from 1"),
        ("FEATURES__ROWS_PER_SHARD", "yes", "features.rows_per_shard is True; it must be a whole number from 1"),
        ("FEATURES__DEFAULT_AS_OF", "21.12.2024", "it must be empty, or a date like 2024-12-21"),
        ("SALESFORCE__ROWS_PER_JOB", "-5", "salesforce.rows_per_job is -5; it must be a whole number from 1"),
        ("SALESFORCE__MAX_BUCKET_CHANGE_SHARE", ".nan", "max_bucket_change_share is nan; it must be a share from 0"),
        ("SALESFORCE__MAX_BUCKET_CHANGE_SHARE", "30", "max_bucket_change_share is 30; it must be a share from 0"),
        ("SALESFORCE__WAIT_SECONDS", "-1", "salesforce.wait_seconds is -1; it must be seconds, more than 0"),
        ("SALESFORCE__WAIT_SECONDS", ".inf", "salesforce.wait_seconds is inf; it must be seconds, more than 0"),
        ("SALESFORCE__REFRESH_BEFORE_DAYS", "9", "must be less than scoring.expires_after_days, which is 7"),
        (
            "ONCALL__OWNER_ADDRESS",
            "ops@example.com",
            "oncall.owner_address is 'ops@example.com'; it must be empty, mailto:",
        ),
        ("STORAGE__MODELS", "s3://bucket", "storage.models is 's3://bucket'; it must be a folder or gs://bucket/path"),
        ("STORAGE__RUNS", "", "it must be a folder or gs://bucket/path"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_full_name(name, value, message):
    with pytest.raises(BadInput, match=re.escape(message)) as refused:
        load_settings(environment={f"LEAD_SCORING__{name}": value})
    assert "\n" not in str(refused.value)


def test_the_same_rules_hold_for_the_file_and_for_options(tmp_path):
    home = home_with(tmp_path, "buckets:\n  policy: lft\n")
    with pytest.raises(BadInput, match="setting buckets.policy is 'lft'; it must be"):
        load_settings(home=home, environment={})
    with pytest.raises(BadInput, match="setting gate.confidence is 97.5; it must be a share between"):
        load_settings(environment={}, overrides={"gate.confidence": 97.5})
    with pytest.raises(BadInput, match="setting gate.confidenze is unknown"):
        load_settings(environment={}, overrides={"gate.confidenze": 0.9})


def test_the_environment_wins_over_the_file_and_an_option_over_both(tmp_path):
    home = home_with(tmp_path, "training:\n  seed: 1\n  threads: 3\nscoring:\n")
    variables = {"LEAD_SCORING__TRAINING__SEED": "2", "UNRELATED": "x"}
    assert load_settings(home=home, environment={}).training.seed == 1
    assert load_settings(home=home, environment=variables).training.seed == 2
    found = load_settings(home=home, environment=variables, overrides={"training.seed": 3})
    assert (found.training.seed, found.training.threads) == (3, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"buckets:\n  lift: [3, 2\n", "settings.yaml, line 3 is no YAML"),
        (b"buckets: lift\n", "settings section buckets is 'lift'; it must hold lines like"),
        (b"- a\n", "it must hold sections"),
        (b"bukets:\n  policy: lift\n", "setting bukets.policy is unknown; the sections are"),
        (b"buckets:\n  polizy: lift\n", "setting buckets.polizy is unknown; buckets has"),
        (b"buckets:\n  policy: \xff\n", "is no UTF-8"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, content, message):
    home = home_with(tmp_path, content)
    with pytest.raises(BadInput, match=message) as refused:
        load_settings(home=home, environment={})
    assert "\n" not in str(refused.value)


def test_a_broken_setting_stops_a_command_with_one_line_and_exit_2(monkeypatch, capsys):
    monkeypatch.setenv("LEAD_SCORING__SALESFORCE__ROWS_PER_JOB", "-5")
    assert main(["registry", "list"]) == 2
    said = capsys.readouterr().err
    assert said == "error: setting salesforce.rows_per_job is -5; it must be a whole number from 1\n"


def test_a_login_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(BadInput, match="without user and password") as refused:
        load_settings(environment={"LEAD_SCORING__SALESFORCE__ENDPOINT": "https://me:canary@org.example"})
    assert "canary" not in str(refused.value)


def test_settings_can_be_handed_to_another_process():
    settings = load_settings(environment={})
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(BadInput, match="set LEAD_SCORING_HOME"):
        load_settings(home=tmp_path, environment={})


def test_a_policy_that_does_not_exist_is_refused():
    with pytest.raises(BadInput, match="bucket policy is 'lft'; it must be lift or absolute or capacity"):
        load_settings(environment={}).buckets.with_policy("lft")


def test_the_reference_page_is_what_the_settings_say():
    assert (project_home() / "docs" / "configuration.md").read_text() == reference_page(), "run `make settings`"
    for section, kind in SECTIONS.items():
        for name in kind.__dataclass_fields__:
            assert kind.__pydantic_fields__[name].description, f"{section}.{name} has no meaning"
            assert allowed(section, name) != "text", f"{section}.{name} does not say what it may be"


def home_with(folder, content):
    path = folder / "include" / "config" / "settings.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
