"""Buckets and objects in memory, with Cloud Storage's rules for generations and preconditions."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import threading
import time
from dataclasses import dataclass, field

import google_crc32c


class Refused(Exception):
    """An answer other than 2xx. :param status: HTTP status. :param message: as Cloud Storage words it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class StoredObject:
    bucket: str
    name: str
    data: bytes
    generation: int
    metadata: dict[str, str]
    content_type: str

    @property
    def hashes(self) -> dict[str, str]:
        crc = google_crc32c.value(self.data).to_bytes(4, "big")
        md5 = hashlib.md5(self.data, usedforsecurity=False).digest()
        return {"crc32c": base64.b64encode(crc).decode(), "md5Hash": base64.b64encode(md5).decode()}

    def resource(self) -> dict[str, object]:
        """As the JSON API describes an object."""
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "bucket": self.bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": "1",
            "updated": dt.datetime.fromtimestamp(self.generation / 1e6, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "size": str(len(self.data)),
            "contentType": self.content_type,
            "metadata": self.metadata,
            **self.hashes,
        }


@dataclass
class Objects:
    """All buckets. One lock covers the check of a precondition and the write that depends on it."""

    buckets: dict[str, dict[str, StoredObject]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _generation: int = 0

    def create_bucket(self, bucket: str) -> None:
        with self._lock:
            if bucket in self.buckets:
                raise Refused(409, "Your previous request to create the named bucket succeeded and you already own it.")
            self.buckets[bucket] = {}

    def get(self, bucket: str, name: str, conditions: dict[str, str]) -> StoredObject:
        with self._lock:
            found = self._bucket(bucket).get(name)
            if found is None or conditions.get("generation", str(found.generation)) != str(found.generation):
                raise Refused(404, f"No such object: {bucket}/{name}")
            _check(found, conditions)
            return found

    def check(self, bucket: str, name: str, conditions: dict[str, str]) -> None:
        """Whether a write would be allowed now: what the start of a resumable upload asks."""
        with self._lock:
            _check(self._bucket(bucket).get(name), conditions)

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        metadata: dict[str, str],
        content_type: str,
        conditions: dict[str, str],
    ) -> StoredObject:
        with self._lock:
            objects = self._bucket(bucket)
            _check(objects.get(name), conditions)
            self._generation = max(self._generation + 1, time.time_ns() // 1000)  # microseconds, as the real one has it
            objects[name] = StoredObject(bucket, name, data, self._generation, metadata, content_type)
            return objects[name]

    def delete(self, bucket: str, name: str, conditions: dict[str, str]) -> None:
        with self._lock:
            objects = self._bucket(bucket)
            if name not in objects:
                raise Refused(404, f"No such object: {bucket}/{name}")
            _check(objects[name], conditions)
            del objects[name]

    def page(self, bucket: str, prefix: str, after: str, limit: int) -> tuple[list[StoredObject], str]:
        """Objects in the order of their names and the token of the next page, empty on the last one."""
        with self._lock:
            objects = self._bucket(bucket)
            names = sorted(name for name in objects if name.startswith(prefix) and name > after)
            found = [objects[name] for name in names[:limit]]
            return found, found[-1].name if len(names) > limit else ""

    def _bucket(self, bucket: str) -> dict[str, StoredObject]:
        if bucket not in self.buckets:
            raise Refused(404, "The specified bucket does not exist.")
        return self.buckets[bucket]


def _check(found: StoredObject | None, conditions: dict[str, str]) -> None:
    generation = found.generation if found else 0
    wanted, unwanted = conditions.get("ifGenerationMatch"), conditions.get("ifGenerationNotMatch")
    if (wanted is not None and int(wanted) != generation) or (unwanted is not None and int(unwanted) == generation):
        raise Refused(412, "At least one of the pre-conditions you specified did not hold.")
