"""Objects in Cloud Storage, through Google's own client.

Preconditions are Cloud Storage's: ``if_generation_match``. The client repeats a request whose reply was lost, and such
a repeated write meets the object that its first attempt made. So every write carries an id of its own in the object's
metadata, and a refused repetition is a :class:`~lead_scoring.errors.Conflict` only if the id there is another one.
For an object that is never replaced, such as a registry event, that is exact. For one that somebody else has replaced
since, the id is gone: the write is reported as a conflict although it stood for a moment.

``STORAGE_EMULATOR_HOST=http://127.0.0.1:PORT`` leads to ``python -m sandbox.gcs_server`` (the client's own switch).
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from lead_scoring.errors import BadInput, Conflict, NotFound, Transient
from lead_scoring.storage import StoredObject
from lead_scoring.storage.names import check_name, is_name

TIMEOUT_SECONDS = 60.0  # of one request
WRITE_ID = "lead-scoring-write"
PASSING_STATUS = (408, 429, 500, 502, 503, 504)  # cloud.google.com/storage/docs/retry-strategy
PASSING_ERRORS = (
    api.TooManyRequests, api.InternalServerError, api.BadGateway, api.ServiceUnavailable, api.GatewayTimeout,
    requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, ConnectionError,
    auth.TransportError,
)  # fmt: skip


def can_be_repeated(error: Exception) -> bool:
    """Whether the same request may succeed later. Every request here can be sent twice: see above for writes."""
    if isinstance(error, InvalidResponse):
        return error.response.status_code in PASSING_STATUS
    return isinstance(error, PASSING_ERRORS)


RETRY = Retry(predicate=can_be_repeated, initial=0.5, maximum=16.0, timeout=180.0)  # timeout: of all attempts together


class GcsStore:
    """:class:`~lead_scoring.storage.ObjectStore` below a prefix of a bucket, for any number of machines.

    :param uri: ``gs://bucket`` or ``gs://bucket/prefix``. The bucket must exist.
    :param client: by default one is made with the credentials of the environment.
    :raises BadInput: the address names no bucket, or there are no credentials.
    """

    def __init__(self, uri: str, client: Client | None = None) -> None:
        bucket, _, prefix = uri.removeprefix("gs://").rstrip("/").partition("/")
        if not bucket:
            raise BadInput(f"storage address {uri!r} names no bucket; give gs://bucket/prefix")
        self.uri = f"gs://{bucket}/{prefix}" if prefix else f"gs://{bucket}"
        self._prefix = f"{check_name(prefix)}/" if prefix else ""
        with self._translated("open", ""):
            self._client = client or Client(project=None)  # reading and writing objects needs no project
        self._bucket = self._client.bucket(bucket)
        self._cache: tempfile.TemporaryDirectory[str] | None = None

    def read(self, name: str) -> bytes:
        data, generation = self.read_generation(name)
        if generation == 0:
            raise self._missing(name)
        return data

    def read_generation(self, name: str) -> tuple[bytes, int]:
        blob = self._blob(name)
        with self._translated("read", name):
            try:
                data = blob.download_as_bytes(timeout=TIMEOUT_SECONDS, retry=RETRY)
            except api.NotFound as error:
                self._refuse_missing_bucket(error)
                return b"", 0
        return data, int(blob.generation)  # both from one reply

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        return self._put(name, if_generation, lambda blob, **options: blob.upload_from_string(data, **options))

    def upload(self, path: Path, name: str, *, if_generation: int | None = None) -> int:
        if not path.is_file():
            raise NotFound(f"file {path} does not exist; nothing was uploaded as {self.uri}/{name}")
        return self._put(name, if_generation, lambda blob, **options: blob.upload_from_filename(str(path), **options))

    def fetch(self, name: str) -> Path:
        """A copy below a temporary folder that lives as long as this object."""
        blob = self._blob(name)
        with self._translated("read", name):
            try:
                blob.reload(timeout=TIMEOUT_SECONDS, retry=RETRY)
                path = self._cache_folder() / str(blob.generation) / name
                if path.is_file():
                    return path
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f".{uuid.uuid4().hex}")
                blob.download_to_filename(
                    str(part), if_generation_match=blob.generation, timeout=TIMEOUT_SECONDS, retry=RETRY
                )
            except (api.NotFound, api.PreconditionFailed) as error:  # the second: replaced while it was fetched
                self._refuse_missing_bucket(error)
                raise self._missing(name) from error
        part.chmod(0o444)
        return part.replace(path)

    def exists(self, name: str) -> bool:
        blob = self._blob(name)
        with self._translated("look for", name):
            try:
                blob.reload(timeout=TIMEOUT_SECONDS, retry=RETRY)
            except api.NotFound as error:
                self._refuse_missing_bucket(error)
                return False
        return True

    def list(self, prefix: str = "") -> list[str]:
        return [name for name, _ in self._listed(prefix, "name")]

    def entries(self, prefix: str = "") -> Sequence[StoredObject]:
        return [
            StoredObject(name, int(blob.size), blob.updated) for name, blob in self._listed(prefix, "name,size,updated")
        ]

    def _listed(self, prefix: str, fields: str) -> Sequence[tuple[str, Blob]]:
        with self._translated("list", prefix):
            try:
                found = self._client.list_blobs(
                    self._bucket,
                    prefix=self._prefix + prefix,
                    fields=f"items({fields}),nextPageToken",
                    timeout=TIMEOUT_SECONDS,
                    retry=RETRY,
                )
                blobs = {blob.name.removeprefix(self._prefix): blob for blob in found}
            except api.NotFound as error:
                self._refuse_missing_bucket(error)
                raise
        return sorted((name, blob) for name, blob in blobs.items() if is_name(name))

    def delete(self, name: str) -> None:
        blob = self._blob(name)
        with self._translated("delete", name):
            try:
                blob.delete(timeout=TIMEOUT_SECONDS, retry=RETRY)
            except api.NotFound as error:
                self._refuse_missing_bucket(error)

    def _blob(self, name: str) -> Blob:
        return self._bucket.blob(self._prefix + check_name(name))

    def _put(self, name: str, if_generation: int | None, send: Callable[..., Any]) -> int:
        blob = self._blob(name)
        write_id = uuid.uuid4().hex
        blob.metadata = {WRITE_ID: write_id}
        repeated: list[Exception] = []

        def repeat(error: Exception) -> bool:
            if can_be_repeated(error):
                repeated.append(error)
            return can_be_repeated(error)

        with self._translated("write", name):
            try:
                send(
                    blob, if_generation_match=if_generation, timeout=TIMEOUT_SECONDS, retry=RETRY.with_predicate(repeat)
                )
            except api.PreconditionFailed as error:
                standing = self._standing(name) if repeated else None
                if standing is None or (standing.metadata or {}).get(WRITE_ID) != write_id:
                    raise Conflict(
                        f"object {self.uri}/{name} is not at generation {if_generation} any more; "
                        "read it again and decide anew"
                    ) from error
                return int(standing.generation)  # an earlier attempt was carried out, only its reply was lost
        return int(blob.generation)

    def _standing(self, name: str) -> Blob | None:
        blob = self._blob(name)
        try:
            blob.reload(timeout=TIMEOUT_SECONDS, retry=RETRY)
        except api.NotFound:
            return None
        return blob

    def _cache_folder(self) -> Path:
        if self._cache is None:
            self._cache = tempfile.TemporaryDirectory(prefix="lead-scoring-objects-")
        return Path(self._cache.name)

    def _missing(self, name: str) -> NotFound:
        return NotFound(f"object {self.uri}/{name} does not exist; check the bucket, the prefix and the name")

    def _refuse_missing_bucket(self, error: Exception) -> None:
        """A bucket that does not exist must not look like an empty one."""
        if "bucket does not exist" in str(error):
            raise NotFound(f"bucket of {self.uri} does not exist; create it or correct the setting") from error

    @contextmanager
    def _translated(self, what: str, name: str) -> Generator[None, None, None]:
        subject = f"cannot {what} {self.uri}/{name}".rstrip("/")
        try:
            yield
        except auth.DefaultCredentialsError as error:
            raise BadInput(f"{subject}: no Google credentials; set GOOGLE_APPLICATION_CREDENTIALS") from error
        except (api.Unauthorized, api.Forbidden) as error:
            raise BadInput(
                f"{subject}: {error.message}; give the account the role Storage Object User on the bucket"
            ) from error
        except (api.TooManyRequests, api.ServerError, api.RetryError, auth.GoogleAuthError, DataCorruption) as error:
            raise Transient(f"{subject}: {error}; try again") from error
        except requests.RequestException as error:
            raise Transient(f"{subject}: Cloud Storage did not answer ({type(error).__name__}); try again") from error
        except api.GoogleAPICallError as error:
            raise BadInput(f"{subject}: {error.message}; check the bucket and the name") from error
