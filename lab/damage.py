"""The ways in which the fuzzer damages a package: chance, mix-ups, and somebody with bad intentions."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lead_scoring.model.native import PackageManifest, package_files
from lead_scoring.registry import EVENTS, REGISTRY_FILE, Event, fold
from lead_scoring.registry.verified import PRODUCTION, manifest_object, object_name
from lead_scoring.stage import sha256_bytes

Originals = Mapping[str, bytes]  # object name to bytes
Damaged = dict[str, bytes | None]  # object name to what lies there instead; None: nothing


class Damage:
    """Chooses what to damage and how, from a seed.

    :param version: the version that is attacked.
    :param originals: its objects, those of one other version if there is one, and the registry's.
    :param canary: the file that planted code would make.
    """

    def __init__(self, version: str, originals: Originals, canary: Path, rng: random.Random) -> None:
        self.version = version
        self.originals = originals
        self.canary = canary
        self.rng = rng
        self.manifest_name = manifest_object(version)
        self.manifest = PackageManifest.from_bytes(originals[self.manifest_name], self.manifest_name)
        self.events = sorted(name for name in originals if name.startswith(EVENTS))
        self.own = sorted(object_name(version, name) for name in self.manifest.files)
        self.kinds: dict[str, Callable[[], Damaged]] = {
            "flip": self.flip,
            "truncate": self.truncate,
            "extend": self.extend,
            "delete": self.delete,
            "swap": self.swap,
            "registry_json": self.registry_json,
            "lost_events": self.lose_events,
            "hostile_pickle": self.plant,
            "hostile_pickle_and_manifest": self.plant_with_manifest,
            "hostile_pickle_manifest_and_registry": self.plant_with_registry,
        }

    def choose(self) -> tuple[str, Damaged]:
        """One kind of damage by name, and what it does."""
        name = self.rng.choice(list(self.kinds))
        return name, self.kinds[name]()

    def escapes_scorer(self, damaged: Damaged) -> bool:
        """Whether a scorer may rightly load: it reads neither the function's code nor the pickle's content."""
        return all(name.startswith(f"{PRODUCTION}function_") for name in damaged) or (
            set(self.events) | {REGISTRY_FILE} <= set(damaged) and None not in damaged.values()
        )

    def target(self) -> str:
        """A file of the version, its manifest, or an event."""
        return self.rng.choice([*self.own, self.manifest_name, *self.events])

    def flip(self) -> Damaged:
        name = self.target()
        data = bytearray(self.originals[name] or b"\0")
        data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
        return {name: bytes(data)}

    def truncate(self) -> Damaged:
        name = self.target()
        data = self.originals[name]
        return {name: data[: self.rng.randrange(len(data))] if data else b"\0"}

    def extend(self) -> Damaged:
        name = self.target()
        return {name: self.originals[name] + self.rng.randbytes(self.rng.randint(1, 64))}

    def delete(self) -> Damaged:
        return {self.target(): None}

    def registry_json(self) -> Damaged:
        """``registry.json`` edited by hand: another champion, other digests, no entry, no JSON, or none at all."""
        data = self.originals[REGISTRY_FILE]
        content = json.loads(data)
        content["production"] = self.rng.choice(
            [item["version_id"] for item in content["models"]] + [None, "latest", 7]
        )
        for item in content["models"]:
            item["manifest_digest"] = "0" * 64
        edits: list[bytes | None] = [
            json.dumps(content).encode(),
            json.dumps({**content, "models": []}).encode(),
            json.dumps({**content, "models": [{}]}).encode(),
            b"[" * 5000,
            b"[]",
            self.rng.randbytes(20),
            data[: self.rng.randrange(len(data))],
            None,
        ]
        return {REGISTRY_FILE: self.rng.choice(edits)}

    def lose_events(self) -> Damaged:
        """The last events are gone; ``registry.json``, which was derived from them, tells."""
        return dict.fromkeys(self.events[self.rng.randrange(len(self.events)) :])

    def swap(self) -> Damaged:
        """The bytes of another object: of the same file in the other version, or of any."""
        name = self.target()
        return {name: self.originals[self.rng.choice(sorted(self._unlike(name)))]}

    def plant(self) -> Damaged:
        return {object_name(self.version, package_files(self.version)["pickle"]): self.hostile_pickle()}

    def plant_with_manifest(self) -> Damaged:
        """The manifest rewritten to fit: the registry's digest of the manifest must notice."""
        ((name, data),) = self.plant().items()
        facts = {"sha256": sha256_bytes(data or b""), "bytes": len(data or b"")}
        files = {**self.manifest.files, package_files(self.version)["pickle"]: facts}
        return {name: data, self.manifest_name: replace(self.manifest, files=files).to_bytes()}

    def plant_with_registry(self) -> Damaged:
        """All digests rewritten to fit, the chain of events and ``registry.json`` too: only the allow-list is left."""
        planted = self.plant_with_manifest()
        digest = sha256_bytes(planted[self.manifest_name] or b"")
        previous = ""
        events = []
        for name in self.events:
            event = Event.from_bytes(self.originals[name], name)
            if event.kind == "register" and event.version_id == self.version:
                event = replace(event, details={**event.details, "manifest_digest": digest})
            event = replace(event, previous=previous)
            previous = event.digest
            planted[name] = event.to_bytes()
            events.append(event)
        return {**planted, REGISTRY_FILE: fold(events).to_json()}

    def hostile_pickle(self) -> bytes:
        """A pickle that would make the canary, in one of the ways that are known to work."""
        path = str(self.canary)
        calls: list[tuple[str, str, tuple[Any, ...]]] = [
            ("posix", "system", (f"touch {path}",)),
            ("builtins", "exec", (f"open({path!r}, 'w').close()",)),
            ("builtins", "eval", (f"open({path!r}, 'w').close()",)),
            ("builtins", "open", (path, "w")),
            ("subprocess", "getoutput", (f"touch {path}",)),
            ("shutil", "copyfile", ("/proc/self/status", path)),
            ("xgboost.core", "os.system", (f"touch {path}",)),  # through a module that the model needs
            ("lead_scoring.model.calibrators.platt", "np.savetxt", (path, [1.0])),
        ]
        return hostile(*self.rng.choice(calls), inside_model=self.rng.random() < 0.5)

    def _unlike(self, name: str) -> list[str]:
        """Objects with other bytes; only the same file of another version, half of the time that there is one."""
        others = [other for other, data in self.originals.items() if data != self.originals[name]]
        twins = [other for other in others if _without_version(other) == _without_version(name)]
        return twins if twins and self.rng.random() < 0.5 else others


def hostile(module: str, name: str, arguments: tuple[Any, ...], *, inside_model: bool) -> bytes:
    """Pickle bytes that call ``module.name(*arguments)`` when they are loaded, written without importing anything.

    :param inside_model: the call's result is the ``base_model`` of a dict, as in a package.
    """

    def body(value: object) -> bytes:
        return pickle.dumps(value, protocol=4, fix_imports=False)[2:-1]  # without the opcodes for begin and end

    def text(value: str) -> bytes:
        return pickle.BINUNICODE + len(value.encode()).to_bytes(4, "little") + value.encode()

    call = text(module) + text(name) + pickle.STACK_GLOBAL + body(arguments) + pickle.REDUCE
    content = pickle.EMPTY_DICT + text("base_model") + call + pickle.SETITEM if inside_model else call
    return pickle.PROTO + b"\x04" + content + pickle.STOP


def _without_version(name: str) -> str:
    head, found, tail = name.partition("v1-")
    return head + tail[len("20241221-00000000") :] if found else name
