from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import xgboost as xgb

from lead_scoring.errors import BadInput, CheckFailed, NotFound
from lead_scoring.registry.placed import champion_bytes
from lead_scoring.scoring import LeadScorer
from lead_scoring.scoring.trees import Trees
from lead_scoring.scoring.ubjson import read_ubjson
from tests.scoring.small_package import NAMES, build_package, random_matrix, write_registry


def load(models: Path, version: str | None = None, **options: str) -> LeadScorer:
    return LeadScorer(version, model_dir=str(models / "production"), **options)  # type: ignore[arg-type]


def only_version(models: Path) -> str:
    (path,) = (models / "production").glob("manifest_*.json")
    return path.name.removeprefix("manifest_").removesuffix(".json")


def test_the_version_in_production_is_taken(own_models: Path) -> None:
    other = build_package(own_models / "production", seed=2)
    write_registry(own_models, other)
    assert load(own_models).model_version == other
    assert load(own_models).package.registered


def test_without_a_registry_the_only_version_is_taken_and_several_are_not_guessed(own_models: Path) -> None:
    shutil.rmtree(own_models / "registry")
    found = load(own_models)
    assert not found.package.registered
    build_package(own_models / "production", seed=2)
    with pytest.raises(NotFound, match="2 versions, and neither a registry beside it nor champion.json"):
        load(own_models)


def test_every_byte_of_every_file_matters(own_models: Path) -> None:
    version = only_version(own_models)
    for path in sorted((own_models / "production").glob(f"*{version}*")):
        good = path.read_bytes()
        for position in {0, len(good) // 3, len(good) // 2, len(good) - 1}:
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            with pytest.raises(CheckFailed):
                load(own_models, version)
        for damaged in (b"", good[:-1], good + b"\n"):
            path.write_bytes(damaged)
            with pytest.raises(CheckFailed):
                load(own_models, version)
        path.unlink()
        with pytest.raises((CheckFailed, NotFound)):
            load(own_models, version)
        path.write_bytes(good)
    assert load(own_models, version).model_version == version


def test_files_swapped_between_versions_are_refused_even_with_a_manifest_that_fits(own_models: Path) -> None:
    folder, version = own_models / "production", only_version(own_models)
    other = build_package(folder, seed=2)
    shutil.rmtree(own_models / "registry")
    manifest_path = folder / f"manifest_{version}.json"
    manifest = json.loads(manifest_path.read_bytes())
    shutil.copy(folder / f"model_{other}.ubj", folder / f"model_{version}.ubj")
    manifest["files"][f"model_{version}.ubj"] = json.loads((folder / f"manifest_{other}.json").read_bytes())["files"][
        f"model_{other}.ubj"
    ]
    manifest_path.write_text(json.dumps(manifest))
    with pytest.raises(CheckFailed, match=f"belong to version .*, not {version}"):
        load(own_models, version)


def test_a_manifest_that_is_not_the_registered_one_is_refused(own_models: Path) -> None:
    version = only_version(own_models)
    with pytest.raises(CheckFailed, match="the registry says 000000000000"):
        load(own_models, version, manifest_digest="0" * 64)
    shutil.rmtree(own_models / "registry")
    write_registry(own_models, version, manifest_digest="f" * 64)
    with pytest.raises(CheckFailed, match="the registry says ffffffffffff"):
        load(own_models)


@pytest.mark.parametrize("edit", ["production", "digest", "entry", "no digest", "no json", "deleted"])
def test_an_edited_registry_json_changes_nothing_of_what_is_loaded(own_models: Path, edit: str) -> None:
    version = only_version(own_models)
    digest = load(own_models).package.manifest_digest
    other = build_package(own_models / "production", seed=2)
    path = own_models / "registry" / "registry.json"
    content = json.loads(path.read_bytes())
    entry = content["models"][0]
    if edit == "production":
        content["production"] = other
    elif edit == "digest":
        entry["manifest_digest"] = "f" * 64
    elif edit == "entry":
        content["models"] = []
    elif edit == "no digest":
        del entry["manifest_digest"]
    path.unlink()
    if edit != "deleted":
        path.write_text("{" if edit == "no json" else json.dumps(content))
    for asked in (None, version):
        found = load(own_models, asked).package
        assert (found.version, found.manifest_digest, found.registered) == (version, digest, True)
    with pytest.raises(NotFound, match="is not registered"):
        load(own_models, other)


def test_a_registry_that_lost_events_is_refused_and_says_what_to_do(own_models: Path) -> None:
    events = own_models / "registry" / "events"
    (events / "00000002.json").unlink()
    with pytest.raises(CheckFailed, match=r"derived from 2 events, the log has 1; restore .*or delete registry\.json"):
        load(own_models, only_version(own_models))
    shutil.rmtree(events)
    with pytest.raises(CheckFailed, match="the log has no event"):
        load(own_models)


def test_a_folder_without_registry_serves_the_version_that_champion_json_pins(own_models: Path) -> None:
    version, production = only_version(own_models), own_models / "production"
    digest = load(own_models).package.manifest_digest
    other = build_package(production, seed=2)
    shutil.rmtree(own_models / "registry")
    (production / "champion.json").write_bytes(champion_bytes(version, digest))
    found = load(own_models).package
    assert (found.version, found.manifest_digest, found.registered) == (version, digest, True)
    assert not load(own_models, other).package.registered
    (production / "champion.json").write_bytes(champion_bytes(version, "f" * 64))
    with pytest.raises(CheckFailed, match="the registry says ffffffffffff"):
        load(own_models)
    (production / "champion.json").write_text("{}")
    with pytest.raises(CheckFailed, match=r"champion\.json is not as it was placed"):
        load(own_models)


def test_a_model_that_does_not_reproduce_its_golden_scores_is_refused(tmp_path: Path) -> None:
    version = build_package(tmp_path / "models" / "production", golden_shift=1e-8)
    with pytest.raises(CheckFailed, match="golden lead 0 .* has margin"):
        load(tmp_path / "models", version)


def test_another_line_of_xgboost_is_refused_and_a_patch_is_not(tmp_path: Path) -> None:
    line = ".".join(xgb.__version__.split(".")[:2])
    fine = build_package(tmp_path / "fine" / "production", libraries={"xgboost-cpu": f"{line}.99"})
    assert load(tmp_path / "fine", fine).model_version == fine
    other = build_package(tmp_path / "other" / "production", libraries={"xgboost": "1.7.6"})
    with pytest.raises(CheckFailed, match=r"packaged with xgboost 1\.7\.6, installed is"):
        load(tmp_path / "other", other)


@pytest.mark.parametrize("version", ["latest", "../../etc/passwd", "v1-20241221-00000000/../x"])
def test_a_version_that_is_not_one_is_refused(models: Path, version: str) -> None:
    with pytest.raises(BadInput, match="is not of the form"):
        load(models, version)


@pytest.mark.parametrize("folder", ["gs://bucket", "gs://bucket/", "s3://bucket/production"])
def test_an_address_that_holds_no_packages_is_refused(folder: str) -> None:
    with pytest.raises(BadInput, match="give"):
        LeadScorer(model_dir=folder)


def test_what_does_not_exist_is_named(models: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'v1-20240101-00000000' is not registered"):
        load(models, "v1-20240101-00000000")
    with pytest.raises(NotFound, match="v1-20240101-00000000 has no"):
        load(models, "v1-20240101-00000000", manifest_digest="0" * 64)
    with pytest.raises(NotFound, match="nowhere does not exist"):
        LeadScorer(model_dir=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="has 0 versions"):
        LeadScorer(model_dir=str(tmp_path / "empty"))


def booster(**parameters: object) -> bytes:
    matrix = random_matrix(300)
    data = xgb.DMatrix(matrix, (matrix[:, 0] > 100).astype(float), feature_names=list(NAMES))
    return bytes(xgb.train({"nthread": 1, "seed": 1, **parameters}, data, 3).save_raw("ubj"))


@pytest.mark.parametrize(
    "parameters", [{"objective": "reg:squarederror"}, {"objective": "binary:logistic", "booster": "dart"}]
)
def test_another_kind_of_booster_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="only gbtree / binary:logistic is scored"):
        Trees(read_ubjson(booster(**parameters)))


def test_a_booster_file_is_read_as_xgboost_reads_it() -> None:
    data = booster(objective="binary:logistic")
    content = read_ubjson(data)
    model = xgb.Booster()
    model.load_model(bytearray(data))
    expected = json.loads(model.save_raw("json"))
    assert content["learner"]["feature_names"] == expected["learner"]["feature_names"]
    for read, known in zip(
        content["learner"]["gradient_booster"]["model"]["trees"],
        expected["learner"]["gradient_booster"]["model"]["trees"],
        strict=True,
    ):
        assert read["left_children"] == known["left_children"]
        assert read["split_conditions"] == pytest.approx(known["split_conditions"], rel=1e-6)


def test_a_damaged_booster_file_is_refused_whatever_is_damaged() -> None:
    data = booster(objective="binary:logistic")
    for length in range(0, len(data), max(len(data) // 200, 1)):
        with pytest.raises(BadInput):
            Trees(read_ubjson(data[:length]))
    for hostile in (
        b"[$[#i\x7f",
        b"[#l\x7f\xff\xff\xff",
        b"{" * 5000,
        b"[" * 5000,
        b"S\x4c" + b"\xff" * 8,
        b"\x80\x04.",
    ):
        with pytest.raises(BadInput):
            read_ubjson(hostile)
