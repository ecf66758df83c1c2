"""The stage contract: key, private path, one atomic publish, small manifest.

A stage is a function that writes files into a folder of its own and returns a :class:`StageOutput`. :func:`run_stage`
gives it that folder, uploads what it wrote under a path that no other attempt shares, and publishes everything at once
by creating ``manifest.json``, which only one attempt can do. So a stage that is killed leaves no manifest (the old
state) or a complete one (the new state), and a retry of a finished stage returns the manifest that stands.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.errors import Conflict, LeadScoringError, NotFound, exhausted

if TYPE_CHECKING:
    from lead_scoring.storage import ObjectStore

RECORDS = "records/"
KEY_DIGITS = 16  # 64 bits: two runs of one stage and day share a key by chance once in 10^19


@dataclass(frozen=True)
class FileRef:
    """One published file: object name inside the runs store, SHA-256 in hex, size in bytes."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class StageOutput:
    """What a stage made, before it is published.

    :param files: logical name to local path. Logical names are stable (``model.ubj``), paths are private.
    :param counts: whole numbers: rows in, out, rejected.
    :param figures: anything small that JSON can hold.
    """

    files: Mapping[str, Path]
    counts: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a stage published: the only thing that travels between tasks.

    :param stage: the stage's name.
    :param key: ``YYYYMMDD-<16 hex>``: the as-of date and a digest of all inputs.
    :param as_of: ISO date.
    :param inputs: what the key was computed from. A later call gets this manifest only if its inputs are equal.
    :param files: logical name to published file.
    """

    stage: str
    key: str
    as_of: str
    inputs: Mapping[str, Any]
    files: Mapping[str, FileRef]
    counts: Mapping[str, int]
    figures: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the content: the digests of the files and the figures, but not the paths of the attempt."""
        content = {
            "stage": self.stage,
            "key": self.key,
            "files": {logical: ref.sha256 for logical, ref in self.files.items()},
            "counts": dict(self.counts),
            "figures": self.figures,
        }
        return sha256_bytes(canonical_json(content))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Manifest:
        files = {logical: FileRef(**ref) for logical, ref in data["files"].items()}
        return cls(**{**data, "files": files})

    def fetch(self, runs: ObjectStore, logical: str) -> Path:
        """Local path of one published file, after its digest was checked.

        :raises NotFound: the stage published no such file, or it is gone from the store.
        :raises Conflict: the stored bytes are not the ones that were published.
        """
        ref = self.files.get(logical)
        if ref is None:
            raise NotFound(f"stage {self.stage} {self.key} published no file {logical!r}; it has {sorted(self.files)}")
        path = runs.fetch(ref.name)
        if (found := sha256_file(path)) != ref.sha256:
            raise Conflict(
                f"file {runs.uri}/{ref.name} has SHA-256 {found[:12]}, its manifest says {ref.sha256[:12]}; "
                f"remove {self.stage}/{self.key} from the runs store and run the stage again"
            )
        return path

    def fetch_all(self, runs: ObjectStore, prefix: str) -> list[Path]:
        """Local paths of all files whose logical name starts with ``prefix``, in the order of their names."""
        return [self.fetch(runs, logical) for logical in sorted(self.files) if logical.startswith(prefix)]


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, in UTF-8: equal values give equal bytes. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run_key(as_of: dt.date, inputs: Mapping[str, Any]) -> str:
    """``YYYYMMDD-<16 hex>``: the as-of date and a digest of the inputs."""
    return f"{as_of:%Y%m%d}-{sha256_bytes(canonical_json(inputs))[:KEY_DIGITS]}"


def manifest_name(stage: str, key: str) -> str:
    return f"{stage}/{key}/manifest.json"


def find_manifest(runs: ObjectStore, stage: str, key: str) -> Manifest | None:
    """The published manifest of one stage and key, or None."""
    try:
        return Manifest.from_dict(json.loads(runs.read(manifest_name(stage, key))))
    except NotFound:
        return None


def record_name(stage: str, key: str) -> str:
    """Where the record of a run is kept after the run itself was tidied away."""
    return f"{RECORDS}{stage}/{key}.json"


def find_record(runs: ObjectStore, stage: str, key: str) -> Manifest | None:
    """What is known of a run: its manifest or, after tidying, the same without files. None if it never was."""
    if (standing := find_manifest(runs, stage, key)) is not None:
        return standing
    data, generation = runs.read_generation(record_name(stage, key))
    return Manifest.from_dict(json.loads(data)) if generation else None


def run_stage(
    runs: ObjectStore,
    stage: str,
    as_of: dt.date,
    inputs: Mapping[str, Any],
    build: Callable[[Path], StageOutput],
) -> Manifest:
    """Return the stage's manifest, building it only if no complete one stands.

    :param inputs: everything that decides the result: upstream digests, settings, SQL text. JSON values only.
    :param build: writes into the folder it is given and says what it wrote.
    :raises Conflict: a published file was changed afterwards, or the manifest of this key was made from other inputs.
    """
    key = run_key(as_of, {"stage": stage, **inputs})
    if (standing := _made_from(runs, stage, key, inputs)) is not None:
        for logical in standing.files:
            standing.fetch(runs, logical)
        return standing
    attempt = f"{stage}/{key}/{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix=f"{stage}-") as folder:
        try:
            output = build(Path(folder))
        except LeadScoringError:
            # another attempt finished meanwhile and may have cleared away what this one was reading
            if (winner := _made_from(runs, stage, key, inputs)) is not None:
                return winner
            raise
        except Exception as error:
            raise exhausted(error) or error from error
        files = {}
        for logical, path in output.files.items():
            name = f"{attempt}/{logical}"
            runs.upload(path, name)
            files[logical] = FileRef(name, sha256_file(path), path.stat().st_size)
    manifest = Manifest(
        stage=stage,
        key=key,
        as_of=as_of.isoformat(),
        inputs=dict(inputs),
        files=files,
        counts=dict(output.counts),
        figures=dict(output.figures),
    )
    try:
        runs.write(manifest_name(stage, key), canonical_json(manifest.to_dict()), if_generation=0)
    except Conflict:  # another attempt of the same stage finished first: its files stand, ours are never referred to
        winner = _made_from(runs, stage, key, inputs)
        if winner is None:
            raise
        return winner
    return manifest


def _made_from(runs: ObjectStore, stage: str, key: str, inputs: Mapping[str, Any]) -> Manifest | None:
    """The published manifest of these very inputs, None if there is none of this key.

    :raises Conflict: the manifest of this key has other inputs: the key alone proves nothing.
    """
    standing = find_manifest(runs, stage, key)
    if standing is None:
        return None
    asked, made = ({name: canonical_json(value) for name, value in of.items()} for of in (inputs, standing.inputs))
    if asked != made:  # compared as JSON, where true is not 1
        names = sorted(name for name in asked.keys() | made.keys() if asked.get(name) != made.get(name))
        raise Conflict(
            f"manifest {runs.uri}/{manifest_name(stage, key)} was made from other inputs: "
            f"{_shown(standing.inputs, names)}, this run has {_shown(inputs, names)}; "
            f"move {stage}/{key} out of the runs store and run the stage again"
        )
    return standing


def _shown(inputs: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} = {inputs[name]!r}" if name in inputs else f"no {name}" for name in names)
