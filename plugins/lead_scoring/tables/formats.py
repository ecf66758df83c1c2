"""What a file is, by its first bytes: names lie. What is no table is called what it is, with the way to get one."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.text import shown

HEAD_BYTES = 1 << 18
_REMEDY = "export the table as Parquet, CSV or JSON lines"
_LFS = b"version https://git-lfs.github.com/spec/"

# First bytes and what they are. Sources: the formats' own specifications, and file(1).
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"PARE", "a Parquet file with an encrypted footer; export it without encryption"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls); save the sheet as CSV UTF-8"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it, or use gzip"),
    (b"BZh", "compressed with bzip2; unpack it, or use gzip"),
    (b"\xfd7zXZ", "compressed with xz; unpack it, or use gzip"),
    (b"\x04\x22\x4d\x18", "compressed with lz4; unpack it, or use gzip"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"ORC", f"an ORC file; {_REMEDY}"),
    (b"Obj\x01", f"an Avro file; {_REMEDY}"),
    (b"ARROW1", f"an Arrow (Feather) file; {_REMEDY}"),
    (b"FEA1", f"an old Feather file; {_REMEDY}"),
    (b"SQLite format 3", f"an SQLite database; {_REMEDY}"),
    (b"\x89HDF", f"an HDF5 file; {_REMEDY}"),
    (b"%PDF", f"a PDF document; {_REMEDY}"),
    (b"\x89PNG", f"a picture; {_REMEDY}"),
    (b"\x93NUMPY", f"a NumPy array; {_REMEDY}"),
    (b"\x7fELF", f"a program; {_REMEDY}"),
)


def format_of(path: Path) -> tuple[str, bool, bytes]:
    """``parquet``, ``csv`` or ``jsonl``; whether it is packed with gzip; its first bytes, unpacked.

    :raises NotFound: no such file. :raises BadInput: it is something else; the error says what.
    """
    if not path.is_file():
        hint = " (it is a link to nothing, as git-annex leaves one: `git annex get` brings the file)"
        raise NotFound(f"file {path} does not exist; give the path of a table{hint if path.is_symlink() else ''}")
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    packed = head.startswith(b"\x1f\x8b")
    if packed:
        try:
            with gzip.open(path) as unpacked:
                head = unpacked.read(HEAD_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(f"file {path} is not whole gzip ({error}); export or copy it again") from None
    kind = _kind(path, head)
    if kind == "parquet" and packed:
        raise BadInput(f"file {path} is Parquet packed with gzip; unpack it (gunzip): Parquet is packed inside")
    if kind != "parquet" and path.suffix in {".parquet", ".pq"}:
        raise BadInput(
            f"file {path} is not a Parquet file: it holds text ({shown(_text_start(head))!r}); export it anew"
        )
    return kind, packed, head


def _kind(path: Path, head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf").lstrip()
    lower = start[:400].lower()
    if not start:
        raise BadInput(f"file {path} is empty; export or copy it again")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK"):
        excel = b"xl/" in head or b"[Content_Types].xml" in head
        what = "an Excel workbook; save the sheet as CSV UTF-8" if excel else "a ZIP archive; unpack it"
        raise BadInput(f"file {path} is {what}")
    for magic, what in _OTHERS:
        if head.startswith(magic):
            raise BadInput(f"file {path} is {what}")
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        raise BadInput(f"file {path} is a Python pickle, which is never opened here; {_REMEDY}")
    if start.startswith(_LFS):
        raise BadInput(f"file {path} is a Git LFS pointer, not the table; `git lfs pull` brings the file itself")
    if start.startswith(b"/annex/objects/"):
        raise BadInput(f"file {path} is a git-annex pointer, not the table; `git annex get` brings the file itself")
    if start.startswith(b"outs:\n- md5:"):
        raise BadInput(f"file {path} is a DVC pointer, not the table; `dvc pull` brings the file itself")
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<table")):
        raise BadInput(f"file {path} is an HTML page, as a log-in or an error page is saved; download the table again")
    if lower.startswith((b"<?xml", b"<workbook", b"<error")):
        raise BadInput(f"file {path} is XML, as an error message or an Excel export is; {_REMEDY}")
    if lower.startswith(b"{\\rtf"):
        raise BadInput(f"file {path} is a text document (RTF); {_REMEDY}")
    if start.startswith(b"["):
        raise BadInput(
            f"file {path} is one JSON array ({shown(_text_start(head))!r}); write one object a line (JSON lines)"
        )
    if start.startswith(b"{"):
        return "jsonl"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "csv"
    if b"\0" in head:
        raise BadInput(f"file {path} is no text (it has zero bytes) and no Parquet; {_REMEDY}, in UTF-8")
    return "csv"


def _text_start(head: bytes) -> str:
    return head[:60].decode("utf-8", "replace")
