"""Every setting has one default, can be set from the environment, and is refused by its full name."""

from __future__ import annotations

import pytest

from lead_scoring.errors import BadInput
from lead_scoring.settings import load_settings


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
        ("LEAD_SCORING__BUCKETS__POLICIES", "lift", "LEAD_SCORING__BUCKETS__POLICIES is unknown"),
        ("LEAD_SCORING__NOTHING__POLICY", "lift", "LEAD_SCORING__NOTHING__POLICY is unknown"),
        ("LEAD_SCORING__TRAINING__SEED", "many", "training.seed is 'many'; it must be of type int"),
        ("LEAD_SCORING__BUCKETS__LIFT", "3", "buckets.lift is 3; it must be"),
        ("LEAD_SCORING__BUCKETS__ON_NOT_BETTER", "stop", "buckets.on_not_better is .stop.; it must be refuse or warn"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_full_name(name, value, message):
    with pytest.raises(BadInput, match=message):
        load_settings(environment={name: value})


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(BadInput, match="set LEAD_SCORING_HOME"):
        load_settings(home=tmp_path, environment={})


def test_a_setting_left_out_of_the_file_is_named(tmp_path):
    folder = tmp_path / "include" / "config"
    folder.mkdir(parents=True)
    text = (load_settings(environment={}).config_folder / "settings.yaml").read_text()
    (folder / "settings.yaml").write_text("\n".join(line for line in text.splitlines() if "  folds:" not in line))
    with pytest.raises(BadInput, match=r"calibration\.folds is missing"):
        load_settings(home=tmp_path, environment={})
