"""What is never loaded, and that the real thing is."""

from __future__ import annotations

import contextlib
import copyreg
import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import fuzz as fuzz_module
from lab.damage import hostile
from lab.fuzz import fuzz
from lead_scoring.errors import BadInput, CheckFailed, LeadScoringError, NotFound
from lead_scoring.registry import REGISTRY_FILE, open_package, verify
from lead_scoring.registry.package import check_files
from lead_scoring.registry.registry import Registry
from lead_scoring.registry.signing import sign_package, signed_by
from lead_scoring.registry.unpickle import load_allowed, load_pickle
from lead_scoring.storage import ObjectStore
from lead_scoring.storage.local import LocalStore


def test_a_sound_version_verifies_and_its_pickle_loads(store: ObjectStore, champion: str) -> None:
    report = verify(store, champion)
    assert report["version_id"] == champion
    assert report["status"] == "production"
    assert report["files"] == 9
    assert report["signed_by"] == "unsigned"
    content = load_pickle(open_package(store))
    assert content["feature_names"] == ["f0", "f1"]
    assert content["calibration_method"] == "platt"
    assert content["base_model"].predict_proba([[1.0, 2.0]]).shape == (1, 2)


def test_a_package_reads_by_logical_name_and_names_what_it_lacks(store: ObjectStore, champion: str) -> None:
    package = open_package(store)
    assert package.read("lookup") == package.read(f"calibration_lookup_{champion}.csv")
    with pytest.raises(NotFound, match="no file 'calibration_curves_"):
        package.read("curves")


def test_an_unregistered_version_and_an_empty_registry_are_refused(store: ObjectStore, champion: str) -> None:
    with pytest.raises(NotFound, match="not registered"):
        open_package(store, "v1-20241221-ffffffff")
    with pytest.raises(NotFound, match="no production version"):
        open_package(LocalStore(Path(store.uri) / "elsewhere"))


def test_300_damaged_copies_are_refused_and_nothing_happens(store: ObjectStore, champion: str) -> None:
    before = {name: store.read(name) for name in store.list()}
    report = fuzz(store, champion, 300, seed=1)
    assert (report["attempts"], report["refused"] + report["same"]) == (300, 300)
    assert (report["loaded"], report["side_effects"]) == (0, 0)
    assert 0 < report["same"] <= report["by_kind"]["registry_json"] + report["by_kind"]["flip"]
    assert len(report["by_kind"]) == 10
    assert {name: store.read(name) for name in store.list()} == before


def test_the_fuzzer_reports_a_loader_that_does_not_check(store: ObjectStore, champion: str) -> None:
    def trusting(copy: ObjectStore, version: str | None) -> str:
        return digest

    digest = open_package(store).manifest_digest
    with pytest.raises(CheckFailed, match="it loaded"):
        fuzz(store, champion, 20, scorer=trusting)


def test_the_fuzzer_reports_a_loader_that_believes_registry_json(store: ObjectStore, champion: str) -> None:
    def believing(copy: ObjectStore, version: str | None) -> str:
        package = open_package(copy, version or json.loads(copy.read(REGISTRY_FILE))["production"])
        check_files(copy, package.version, package.manifest_digest)
        return package.manifest_digest

    with pytest.raises(CheckFailed, match="of registry/registry.json"):
        fuzz(store, champion, 200, scorer=believing)


def test_a_scorer_that_loads_other_bytes_than_the_registered_ones_is_noticed(store: ObjectStore, champion: str) -> None:
    with pytest.raises(CheckFailed, match="the scorer loads"):
        verify(store, champion, scorer=lambda *_: "0" * 64)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("cloud_function_code.py", b"import os\n", "has SHA-256"),
        ("lead_scoring/__init__.py", None, "is missing from the placed function code"),
        ("champion.json", b"{}", "has SHA-256"),
        ("sitecustomize.py", b"import os\n", "is no file of"),
    ],
)
def test_placed_function_code_that_is_not_the_champions_is_named(
    store: ObjectStore, registry: Registry, champion: str, name: str, data: bytes | None, message: str
) -> None:
    store.delete(f"production/{name}")
    if data is not None:
        store.write(f"production/{name}", data)
    with pytest.raises(CheckFailed, match=f"production/{name} {message}"):
        verify(store, champion)
    registry.promote(champion, "place it anew", "cli:maria")
    if name != "sitecustomize.py":  # not ours to delete
        assert verify(store, champion)["status"] == "production"


def test_a_module_that_the_champion_does_not_have_is_removed_from_the_placed_code(
    store: ObjectStore, registry: Registry, champion: str
) -> None:
    store.write("production/lead_scoring/of_an_earlier_version.py", b"")
    (other,) = [item["version_id"] for item in registry.entries() if item["version_id"] != champion]
    registry.promote(other, "release", "cli:maria")
    assert store.list("production/lead_scoring/") == ["production/lead_scoring/__init__.py"]


def test_the_fuzzer_notices_planted_code_that_runs(
    store: ObjectStore, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(copy: ObjectStore, version: str | None) -> str:
        """Looks at the digest after it has loaded the pickle."""
        with contextlib.suppress(
            AttributeError, KeyError, EOFError, ValueError, TypeError, pickle.PickleError, OSError
        ):
            pickle.loads(copy.read(f"production/model_{champion}.pkl"))  # noqa: S301 - what must not be done
        package = open_package(copy, version)
        check_files(copy, champion, package.manifest_digest)
        return package.manifest_digest

    monkeypatch.setattr(fuzz_module, "load_everything", careless)
    with pytest.raises(CheckFailed, match="planted code was run"):
        fuzz(store, champion, 40)


@pytest.mark.parametrize("inside_model", [True, False])
@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("posix", "system", ("touch {}",)),
        ("builtins", "eval", ("open('{}', 'w')",)),
        ("xgboost.core", "os.system", ("touch {}",)),
        ("lead_scoring.model.calibrators.platt", "PlattCalibrator.__init__.__globals__.get", ("np",)),
        ("builtins", "getattr", (1, "real")),
        ("xgboost.sklearn", "XGBClassifier.load_model", ("{}",)),
    ],
)
def test_a_hostile_pickle_is_refused_by_name_before_it_acts(
    tmp_path: Path, module: str, name: str, arguments: tuple[Any, ...], inside_model: bool
) -> None:
    canary = tmp_path / "canary"
    filled = tuple(item.format(canary) if isinstance(item, str) else item for item in arguments)
    data = hostile(module, name, filled, inside_model=inside_model)
    with pytest.raises(CheckFailed, match=f"asks for {module}.{name}"):
        load_allowed(data, "model.pkl")
    assert not canary.exists()


def test_the_hostile_pickles_would_have_acted(tmp_path: Path) -> None:
    data = hostile("posix", "system", (f"touch {tmp_path / 'canary'}",), inside_model=True)
    pickle.loads(data)  # noqa: S301 - shows that the attack is a real one
    assert (tmp_path / "canary").exists()


def test_an_extension_code_is_no_way_round_the_list() -> None:
    copyreg.add_extension("posix", "system", 77)
    try:
        with pytest.raises(CheckFailed, match="asks for posix.system"):
            load_allowed(b"\x80\x02\x82\x4d.", "model.pkl")
    finally:
        copyreg.remove_extension("posix", "system", 77)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"not a pickle", pickle.dumps([1]), pickle.dumps({"other": 1}), b"\x80\x04\x95" + b"\xff" * 8,
        hostile("builtins", "bytearray", (10**15,), inside_model=True),
        hostile("xgboost.core", "Booster", ({}, (), b"garbage"), inside_model=True),
        b"(" * 10_000,
    ],
)  # fmt: skip
def test_a_damaged_pickle_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(LeadScoringError):
        load_allowed(data, "model.pkl")


def test_a_missing_file_and_a_swapped_file_are_named(store: ObjectStore, champion: str) -> None:
    name = f"production/model_card_{champion}.md"
    right = store.read(name)
    store.delete(name)
    with pytest.raises(CheckFailed, match=f"{name} is missing"):
        verify(store, champion)
    store.write(name, store.read(f"production/model_{champion}.ubj"))
    with pytest.raises(CheckFailed, match=f"{name} has SHA-256"):
        verify(store, champion)
    store.write(name, right)
    assert verify(store, champion)["status"] == "production"


def test_a_negative_number_of_attempts_is_refused(store: ObjectStore, champion: str) -> None:
    with pytest.raises(BadInput, match="--fuzz is -1"):
        fuzz(store, champion, -1)


def key_pair(folder: Path, who: str) -> tuple[Path, Path]:
    private, public = folder / f"{who}.key", folder / "trusted" / f"{who}.pub"
    public.parent.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private],
        check=True,
        capture_output=True,
    )
    subprocess.run(["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def test_a_signature_says_who_signed(store: ObjectStore, champion: str, tmp_path: Path) -> None:
    (private, public), _ = key_pair(tmp_path, "maria"), key_pair(tmp_path, "another")
    sign_package(open_package(store), private)
    assert verify(store, champion, keys=public.parent)["signed_by"] == "maria"
    assert verify(store, champion)["signed_by"].startswith("signed, not checked")
    public.unlink()
    with pytest.raises(CheckFailed, match="fits no key"):
        verify(store, champion, keys=public.parent)


def test_a_signature_of_another_version_or_a_damaged_one_fits_no_key(
    store: ObjectStore, registry: Registry, champion: str, tmp_path: Path
) -> None:
    private, public = key_pair(tmp_path, "maria")
    (other,) = [item["version_id"] for item in registry.entries() if item["version_id"] != champion]
    signature = store.read(sign_package(open_package(store, other), private))
    for wrong in (signature, b"", b"{}", signature[:-40], signature.replace(b"a", b"b")):
        store.write(f"production/signature_{champion}.json", wrong)
        with pytest.raises(CheckFailed, match="fits no key"):
            signed_by(open_package(store), public.parent)


def test_a_key_that_cannot_sign_is_named(store: ObjectStore, champion: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        sign_package(open_package(store), tmp_path / "absent.key")
    (tmp_path / "bad.key").write_text("not a key")
    with pytest.raises(BadInput, match="cannot sign"):
        sign_package(open_package(store), tmp_path / "bad.key")
