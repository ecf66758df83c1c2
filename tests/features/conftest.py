from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.sample import write_sample
from lead_scoring.catalog import Catalog, FeatureSet, load_catalog
from lead_scoring.features import load_source, materialize
from lead_scoring.settings import Settings, load_settings
from lead_scoring.stage import StageOutput
from lead_scoring.warehouse.embedded import EmbeddedWarehouse

AS_OF = dt.date(2024, 12, 21)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings(environment={})


@pytest.fixture(scope="session")
def catalog(settings: Settings) -> Catalog:
    return load_catalog(settings.config_folder)


@pytest.fixture(scope="session")
def phase6(catalog: Catalog) -> FeatureSet:
    return catalog.feature_set("phase6")


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, leads=1500, seed=11)
    return folder


@pytest.fixture(scope="session")
def sample_warehouse(tmp_path_factory: pytest.TempPathFactory, sample_folder: Path) -> EmbeddedWarehouse:
    warehouse = EmbeddedWarehouse(tmp_path_factory.mktemp("warehouse"))
    load_source(warehouse, sample_folder)
    return warehouse


Build = Callable[..., StageOutput]


@pytest.fixture
def build(settings: Settings, phase6: FeatureSet, tmp_path: Path) -> Build:
    """Materialize from a warehouse into a fresh folder."""
    number = iter(range(1000))

    def run(warehouse: Any, **options: Any) -> StageOutput:
        work = tmp_path / f"work-{next(number)}"
        work.mkdir()
        arguments = {"as_of": AS_OF, "feature_set": phase6, "settings": settings.features, **options}
        return materialize(warehouse, sql_folder=settings.sql_folder, work=work, **arguments)

    return run
