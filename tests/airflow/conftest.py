"""An Airflow that lives in a temporary folder: DAG files are parsed, nothing is scheduled."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Airflow reads its configuration when it is first imported, so this must stand before any test module imports it.
_home = tempfile.TemporaryDirectory(prefix="airflow-tests-")
os.environ.update({
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home.name}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
})


@pytest.fixture(scope="session", autouse=True)
def _airflow_home_goes_with_the_tests():
    yield
    _home.cleanup()


@pytest.fixture(scope="session")
def dags():
    """All DAGs by id, parsed as the DAG processor does."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    return bag.dags
