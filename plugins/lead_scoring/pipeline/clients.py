"""Settings become clients: stores, warehouse, registry, catalog."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import re
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.catalog import FeatureSet, load_catalog
from lead_scoring.code import code_digest
from lead_scoring.errors import BadInput, NotFound
from lead_scoring.settings import Settings
from lead_scoring.stage import canonical_json, sha256_bytes
from lead_scoring.storage import ObjectStore, open_store

if TYPE_CHECKING:
    from lead_scoring.registry import Registry
    from lead_scoring.scoring import LeadScorer
    from lead_scoring.tables import OpenTable
    from lead_scoring.warehouse import Warehouse

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_TYPES = {
    "BOOL", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "STRING", "BYTES", "DATE", "TIMESTAMP", "DATETIME",
}  # fmt: skip

CHAMPION = "champion"  # as a feature set: the one that the production model was trained on


class Clients:
    """What the stages work with, each made once, when first needed, and handed on from here.

    :param settings: where things are and how they are done.
    :param storage_client: a ``google.cloud.storage.Client``, for stores in Cloud Storage.
    :param bigquery_client: a ``google.cloud.bigquery.Client``, for the warehouse in BigQuery. Without the two the
        credentials of the environment count.
    """

    def __init__(self, settings: Settings, *, storage_client: Any = None, bigquery_client: Any = None) -> None:
        self.settings = settings
        self._storage_client, self._bigquery_client = storage_client, bigquery_client

    @functools.cached_property
    def runs(self) -> ObjectStore:
        return open_store(self.settings.location(self.settings.storage.runs), self._storage_client)

    @functools.cached_property
    def models(self) -> ObjectStore:
        return open_store(self.settings.location(self.settings.storage.models), self._storage_client)

    @functools.cached_property
    def warehouse(self) -> Warehouse:
        from lead_scoring.warehouse import open_warehouse

        return open_warehouse(self.settings, self._bigquery_client)

    @functools.cached_property
    def registry(self) -> Registry:
        from lead_scoring.registry import Registry

        return Registry(self.models)

    @contextmanager
    def opened(self, where: str, as_of: dt.date) -> Generator[OpenTable, None, None]:
        """A table that somebody brought: at a path or address, or the warehouse's table of that name.

        Of a warehouse table with a column ``as_of`` the rows of that day are taken, and no column of a type that is
        neither number, text, truth nor time.

        :raises NotFound: there is neither. :raises BadInput: it is no table; the error says what it is.
        """
        from lead_scoring.tables import open_table

        if not _TABLE_NAME.fullmatch(where) or Path(where).exists():
            yield open_table(where)
            return
        if where not in (known := self.warehouse.tables()):
            raise NotFound(
                f"file {where} does not exist, and the warehouse has no table of that name; it has "
                f"{', '.join(known) or 'none'}"
            )
        types = self.warehouse.columns(where)
        names = [f"`{name}`" for name, kind in types.items() if kind in _PLAIN_TYPES]
        sql = f"SELECT {', '.join(names)} FROM {where}"
        if types.get("as_of") == "DATE":
            sql += " WHERE as_of = @as_of"
        with tempfile.TemporaryDirectory(prefix="brought-") as folder:
            self.warehouse.export(sql, {"as_of": as_of}, Path(folder), 4_000_000)
            day = as_of.isoformat() if "@as_of" in sql else ""
            digest = sha256_bytes(canonical_json([where, day, self.warehouse.fingerprint([where])]))
            yield dataclasses.replace(open_table(folder), label=where, digest=digest)

    def code(self, *functions: Callable[..., Any]) -> str:
        """Digest of the modules and queries that these functions run: see :mod:`lead_scoring.code`."""
        return code_digest(functions, self.settings.sql_folder)

    def model_card_url(self, version: str) -> str:
        """Where people read the card of a version: the configured address, else the Cloud Storage console."""
        from lead_scoring.model.native import package_files
        from lead_scoring.registry.verified import object_name

        path = object_name(version, package_files(version)["model_card"])
        if self.settings.storage.models_url:
            return f"{self.settings.storage.models_url}/{path}"
        if self.models.uri.startswith("gs://"):
            bucket_and_prefix = self.models.uri.removeprefix("gs://")
            return f"https://console.cloud.google.com/storage/browser/_details/{bucket_and_prefix}/{path}"
        return Path(self.models.uri, path).as_uri()

    def as_of(self, text: str | dt.date | None, run_day: dt.date, *, of_source: bool = False) -> dt.date:
        """The as-of date of a run.

        :param text: ISO date, or empty for the configured default, or else the last complete day: a day that is not
            over would read other rows on a replay.
        :param run_day: the day (UTC) on which the run was asked for.
        :param of_source: the run reads the source tables: synthetic ones lend it their last day as default.
        :raises BadInput: not a date, or after ``run_day``: that world is not known yet.
        """
        text = text or self.settings.features.default_as_of
        if not text and of_source:
            from lead_scoring.features import SOURCE_TABLES, synthetic_day

            text = synthetic_day(self.warehouse, list(SOURCE_TABLES))
        text = text or run_day - dt.timedelta(days=1)
        try:
            as_of = text if isinstance(text, dt.date) else dt.date.fromisoformat(text)
        except ValueError:
            raise BadInput(f"as_of is {text!r}; it must be a date like 2024-12-21") from None
        if as_of > run_day:
            raise BadInput(f"as_of is {as_of}, after {run_day}; use the day of the run or an earlier one")
        return as_of

    def feature_set(self, name: str = "") -> FeatureSet:
        return load_catalog(self.settings.config_folder).feature_set(name or self.settings.features.feature_set)

    def champion(self) -> str:
        """:raises NotFound: nothing was promoted yet."""
        version = self.registry.champion()
        if version is None:
            raise NotFound(
                f"the registry in {self.models.uri} has no production version; run lead_scoring_release, "
                "or `lead-scoring registry promote`"
            )
        return version

    def details_of(self, version: str) -> Mapping[str, Any]:
        """What the manifest of a published version tells of its making (``facts`` in ``packaging.package``)."""
        from lead_scoring.model.native import PackageManifest
        from lead_scoring.registry.verified import manifest_object

        return PackageManifest.from_bytes(self.models.read(manifest_object(version)), version).details

    def scorer(self, version: str) -> LeadScorer:
        from lead_scoring.scoring import LeadScorer

        digest = str(self.registry.show(version)["manifest_digest"])  # of the event log, which nobody edits by hand
        return LeadScorer(version, store=self.models, manifest_digest=digest)

    def org(self, login: Mapping[str, Any] | None = None) -> Any:
        """A logged-in Salesforce client. :param login: as ``lead-scoring sync --help`` says; the sandbox needs none."""
        from lead_scoring.salesforce import connect

        return connect(self.settings.salesforce, login)
