"""The HTTP face: the part of the Cloud Storage JSON API that object clients use.

Source of paths and answers: cloud.google.com/storage/docs/json_api/v1 and .../docs/performing-resumable-uploads.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sandbox.gcs_server.objects import Objects, Refused, StoredObject

BUCKETS = re.compile(r"/storage/v1/b")
BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
LIST = re.compile(r"/storage/v1/b/([^/]+)/o")
OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/(.+)")
UPLOAD = re.compile(r"/(?:resumable/)?upload/storage/v1/b/([^/]+)/o")
LARGEST_PAGE = 1000


@dataclass
class Upload:
    """A resumable upload under way."""

    bucket: str
    name: str
    metadata: dict[str, str]
    content_type: str
    conditions: dict[str, str]
    data: bytearray = field(default_factory=bytearray)


class GcsServer(ThreadingHTTPServer):
    """Serves in threads until ``shutdown()``; ``server_port`` is the port it got.

    :param drop_reply_every: carry out every n-th write and close the connection without an answer. 0: never.
    :param unavailable_every: answer every n-th request 503. 0: never.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0, *, drop_reply_every: int = 0, unavailable_every: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.objects = Objects()
        self.uploads: dict[str, Upload] = {}
        self.drop_reply_every = drop_reply_every
        self.unavailable_every = unavailable_every
        self._lock = threading.Lock()
        self._counts = {"request": 0, "write": 0}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error of the server; anything else is printed with its traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def due(self, what: str, every: int) -> bool:
        """Count one more ``what`` and say whether the fault is due."""
        with self._lock:
            self._counts[what] += 1
            return every > 0 and self._counts[what] % every == 0


@contextmanager
def running(*buckets: str) -> Generator[GcsServer, None, None]:
    """A server with these buckets, in a thread of this process."""
    server = GcsServer()
    for bucket in buckets:
        server.objects.create_bucket(bucket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two small packets; with Nagle each one waits 40 ms
    server: GcsServer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the client reports what matters."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        address = urlsplit(self.path)
        self.query = dict(parse_qsl(address.query, keep_blank_values=True))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if address.path == "/healthz":
                self._json(200, {"status": "ok"})
                return
            if self.server.due("request", self.server.unavailable_every):
                raise Refused(503, "We encountered an internal error. Please try again.")
            self._route(address.path)
        except Refused as refused:
            content = {"code": refused.status, "message": refused.message, "errors": [{"message": refused.message}]}
            self._json(refused.status, {"error": content})

    def _route(self, path: str) -> None:
        objects = self.server.objects
        if self.command == "POST" and BUCKETS.fullmatch(path):
            bucket = json.loads(self.body)["name"]
            objects.create_bucket(bucket)
            self._json(200, {"kind": "storage#bucket", "name": bucket})
        elif (match := UPLOAD.fullmatch(path)) and self.command == "POST":
            self._begin_upload(unquote(match[1]))
        elif match and self.command == "PUT":
            self._continue_upload()
        elif (match := LIST.fullmatch(path)) and self.command == "GET":
            self._list(unquote(match[1]))
        elif match := OBJECT.fullmatch(path):
            self._object(unquote(match[1]), unquote(match[2]))
        elif (match := BUCKET.fullmatch(path)) and self.command == "GET":
            objects.page(unquote(match[1]), "", "", 1)
            self._json(200, {"kind": "storage#bucket", "name": unquote(match[1])})
        else:
            raise Refused(404, f"{self.command} {path} is not served here.")

    def _list(self, bucket: str) -> None:
        limit = min(int(self.query.get("maxResults", LARGEST_PAGE)), LARGEST_PAGE)
        found, token = self.server.objects.page(
            bucket, self.query.get("prefix", ""), self.query.get("pageToken", ""), limit
        )
        page: dict[str, object] = {"kind": "storage#objects", "items": [item.resource() for item in found]}
        self._json(200, {**page, "nextPageToken": token} if token else page)

    def _object(self, bucket: str, name: str) -> None:
        objects = self.server.objects
        if self.command == "DELETE":
            objects.delete(bucket, name, self.query)
            self._answer(204, b"", {})
        elif self.query.get("alt") == "media":
            self._download(objects.get(bucket, name, self.query))
        else:
            self._json(200, objects.get(bucket, name, self.query).resource())

    def _download(self, found: StoredObject) -> None:
        hashes = found.hashes
        headers = {
            "Content-Type": found.content_type,
            "X-Goog-Generation": str(found.generation),
            "X-Goog-Metageneration": "1",
            "X-Goog-Hash": f"crc32c={hashes['crc32c']},md5={hashes['md5Hash']}",
        }
        if (wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))) and found.data:
            first, last = int(wanted[1]), min(int(wanted[2] or len(found.data)), len(found.data) - 1)
            if first > last:
                raise Refused(416, "The requested range cannot be satisfied.")
            headers["Content-Range"] = f"bytes {first}-{last}/{len(found.data)}"
            self._answer(206, found.data[first : last + 1], headers)
        else:
            self._answer(200, found.data, headers)

    def _begin_upload(self, bucket: str) -> None:
        kind = self.query.get("uploadType")
        if kind == "resumable":
            resource = json.loads(self.body or b"{}")
            upload = Upload(
                bucket=bucket,
                name=resource.get("name") or self.query["name"],
                metadata=resource.get("metadata", {}),
                content_type=self.headers.get("X-Upload-Content-Type", "application/octet-stream"),
                conditions=self.query,
            )
            self.server.objects.check(bucket, upload.name, self.query)
            upload_id = uuid.uuid4().hex
            self.server.uploads[upload_id] = upload
            place = f"{self.server.endpoint}/upload/storage/v1/b/{bucket}/o?upload_id={upload_id}"
            self._answer(200, b"", {"Location": place})
        elif kind == "multipart":
            resource, media_type, data = _two_parts(self.body, self.headers["Content-Type"])
            self._put(Upload(bucket, resource["name"], resource.get("metadata", {}), media_type, self.query), data)
        elif kind == "media":
            media_type = self.headers.get("Content-Type", "application/octet-stream")
            self._put(Upload(bucket, self.query["name"], {}, media_type, self.query), self.body)
        else:
            raise Refused(400, f"uploadType {kind!r} is not served here.")

    def _continue_upload(self) -> None:
        upload = self.server.uploads.get(self.query.get("upload_id", ""))
        if upload is None:
            raise Refused(404, "The upload does not exist.")
        described = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", self.headers.get("Content-Range", ""))
        if described is None:
            raise Refused(400, "Content-Range is missing.")
        if described[1]:
            if int(described[1]) != len(upload.data):
                raise Refused(503, "The chunk does not follow the ones before it.")
            upload.data += self.body
        if described[3] == str(len(upload.data)):
            self._put(upload, bytes(upload.data))
            del self.server.uploads[self.query["upload_id"]]
        else:
            self._answer(308, b"", {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {})

    def _put(self, upload: Upload, data: bytes) -> None:
        stored = self.server.objects.put(
            upload.bucket, upload.name, data, upload.metadata, upload.content_type, upload.conditions
        )
        if self.server.due("write", self.server.drop_reply_every):
            self.close_connection = True
            return
        self._json(200, stored.resource())

    def _json(self, status: int, content: dict[str, object]) -> None:
        self._answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _two_parts(body: bytes, content_type: str) -> tuple[dict[str, Any], str, bytes]:
    """A multipart/related body: description, media type and the media, untouched."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    if boundary is None or body.count(mark := b"--" + boundary[1].encode()) < 3:
        raise Refused(400, "The multipart body does not have two parts.")
    _, description, media = body.split(mark, 2)
    head, _, content = media.partition(b"\r\n\r\n")
    media_type = re.search(rb"(?i)content-type: *([^\r]+)", head)
    return (
        json.loads(description.partition(b"\r\n\r\n")[2]),
        media_type[1].decode() if media_type else "application/octet-stream",
        content[: content.rindex(b"\r\n" + mark + b"--")],
    )
