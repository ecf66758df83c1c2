"""A table is opened for what it is, whatever it is called; what is no table is called what it is."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput, LeadScoringError, NotFound
from lead_scoring.storage import open_store
from lead_scoring.tables import Column, find_table, open_table, take
from sandbox.gcs_server.server import running

WANTED = [
    Column("tenure", "number"),
    Column("target", "flag", required=False),
    Column("contacted_at", "time", required=False),
]
MOMENT = dt.datetime(2024, 10, 1, 10, tzinfo=dt.UTC)
ROWS = {"tenure": [1.5, None, 3.0], "target": [0.0, 1.0, None], "contacted_at": [MOMENT, None, MOMENT]}
TEXT = (
    'tenure,notes,target,contacted_at\n1.5,"a, b\nc",0,2024-10-01T10:00:00.000Z\n,,1,\n'
    "3,x,NULL,2024-10-01 12:00:00+02:00\n"
)
LINES = (
    b'{"tenure": 1.5, "target": false, "contacted_at": "2024-10-01T10:00:00.000+0000", "more": {"a": [1]}}\n'
    b'{"target": 1}\n\n{"tenure": 3, "contacted_at": "2024-10-01 10:00:00 UTC"}'
)


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def read(where: str | Path, folder: Path, wanted: list[Column] = WANTED) -> dict[str, list[Any]]:
    return pq.read_table(take(open_table(where), wanted, folder / "taken.parquet").path).to_pydict()


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


SAME = {
    "t.parquet": parquet(pa.table({**ROWS, "odd": [{"a": 1}] * 3})),
    "parquet.csv": parquet(pa.table(ROWS)),
    "comma.csv": TEXT,
    "semicolon.csv": "\ufeff" + TEXT.replace("a, b", "a b").replace(",", ";"),
    "tab.txt": TEXT.replace("a, b", "a b").replace(",", "\t"),
    "bar.csv": TEXT.replace("a, b", "a b").replace(",", "|"),
    "windows.csv": TEXT.replace("\n", "\r\n"),
    "excel.csv": ("sep=;\n" + TEXT.replace("a, b", "a b").replace(",", ";")).replace("\n", "\r\n"),
    "unicode.txt": TEXT.replace("a, b", "a b").replace(",", "\t").encode("utf-16"),
    "blanks.csv": TEXT.replace("tenure,notes", " tenure , notes"),
    "lines.jsonl": LINES,
    "lines.json": b"\xef\xbb\xbf" + LINES,
    "t.csv.gz": gzip.compress(TEXT[:40].encode()) + gzip.compress(TEXT[40:].encode()),
    "t.jsonl.gz": gzip.compress(LINES),
    "gzip-without-a-name": gzip.compress(TEXT.encode()),
}


@pytest.mark.parametrize("name", list(SAME))
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    assert read(write(tmp_path, name, SAME[name]), tmp_path) == ROWS


def test_a_folder_of_part_files_is_one_table_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number, row in enumerate(TEXT.replace("b\nc", "b c").splitlines()[1:]):
        write(tmp_path / "f", f"part-{number}.csv", f"tenure,notes,target,contacted_at\n{row}\n")
    write(tmp_path / "f", "_SUCCESS", "")
    write(tmp_path / "f", ".part-0.csv.crc", b"\0\1")
    assert read(tmp_path / "f", tmp_path) == ROWS
    assert read(tmp_path / "f" / "part-*.csv", tmp_path) == ROWS
    other = open_table(tmp_path / "f").digest
    write(tmp_path / "f", "part-0.csv", (tmp_path / "f" / "part-0.csv").read_text().replace("1.5", "1.6"))
    assert open_table(tmp_path / "f").digest != other


def test_folders_that_name_a_column_give_its_value(tmp_path: Path) -> None:
    write(tmp_path / "f", "tenure=1.5/part-0.csv", "target\n0\n")
    write(tmp_path / "f", "tenure=__HIVE_DEFAULT_PARTITION__/part-0.csv", "target\n1\n")
    assert read(tmp_path / "f", tmp_path) == {"tenure": [1.5, None], "target": [0.0, 1.0]}


def test_a_bucket_holds_objects_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running("bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        store = open_store("gs://bucket/exports")
        store.write("t.csv", TEXT.encode())
        for number, row in enumerate(LINES.splitlines()):
            store.write(f"lines/part-{number}.jsonl", row or b'{"tenure": null, "target": 1}')
        store.write("lines/_SUCCESS", b"")
        assert read("gs://bucket/exports/t.csv", tmp_path) == ROWS
        assert read("gs://bucket/exports/t*.csv", tmp_path) == ROWS
        found = read("gs://bucket/exports/lines", tmp_path)
        assert found["tenure"] == [1.5, None, None, 3.0]
        assert find_table("gs://bucket/exports", "lines") == "gs://bucket/exports/lines"
        assert find_table("gs://bucket/exports/", "t") == "gs://bucket/exports/t.csv"
        with pytest.raises(NotFound, match="gs://bucket/exports/gone.csv does not exist"):
            open_table("gs://bucket/exports/gone.csv")
    with pytest.raises(BadInput, match="s3://bucket"):
        open_table("s3://bucket/t.csv")


NO_TABLE = {
    "page.csv": ("<!DOCTYPE html><html>log in", "an HTML page"),
    "upper.csv": ("\ufeff\n <HTML>", "an HTML page"),
    "error.csv": ("<?xml version='1.0'?><Error><Code>AccessDenied", "is XML"),
    "lfs.parquet": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "Git LFS pointer.*git lfs pull",
    ),
    "annex.csv": ("/annex/objects/SHA256E-s1--0.csv\n", "git-annex pointer"),
    "t.csv.dvc": ("outs:\n- md5: 0\n  path: t.csv\n", "DVC pointer"),
    "empty.csv": ("", "is empty"),
    "blank.parquet": ("\n \n", "is empty"),
    "book.xlsx": (b"PK\x03\x04[Content_Types].xml xl/workbook.xml", "an Excel workbook; save the sheet as CSV UTF-8"),
    "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
    "t.zip": (b"PK\x03\x04 t.csv", "a ZIP archive; unpack it"),
    "t.csv.zst": (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    "t.avro": (b"Obj\x01\x04", "an Avro file"),
    "t.orc": (b"ORC\x0a", "an ORC file"),
    "t.feather": (b"ARROW1\0\0", "an Arrow"),
    "t.pkl": (b"\x80\x04\x95\0\0", "a Python pickle, which is never opened"),
    "t.pdf": (b"%PDF-1.7", "a PDF document"),
    "t.db": (b"SQLite format 3\0", "an SQLite database"),
    "array.json": ('[{"tenure": 1}]', "one JSON array.*one object a line"),
    "pretty.json": ('{\n  "tenure": 1\n}\n', "line 1 of .* is no JSON.*several lines"),
    "list.jsonl": ('{"tenure": 1}\n[1]\n', "line 2 of .* is list"),
    "twice.jsonl": ('{"tenure": 1, "tenure": 2}\n', "'tenure' is there twice"),
    "latin1.csv": ("tenure,notes\n1,M\u00fcller\n".encode("latin-1"), "not UTF-8.*save it as CSV UTF-8"),
    "binary.csv": (b"tenure\0\0\0", "no text"),
    "text.parquet": ("tenure\n1\n", "not a Parquet file: it holds text"),
    "half.parquet": (parquet(pa.table(ROWS))[:-20], "only a part of one"),
    "half.csv.gz": (gzip.compress(TEXT.encode())[:-9], "not whole gzip"),
    "short.csv": ("tenure,target\n1,0\n2\n", "Expected 2 columns, got 1"),
    "both.csv": ("tenure;a,b\n1;2,3\n", "by comma or by semicolon"),
    "sign.csv": ("sep=#\ntenure#b\n", "names the separator '#'"),
}


@pytest.mark.parametrize("name", list(NO_TABLE))
def test_what_is_no_table_is_called_what_it_is_in_one_line(name: str, tmp_path: Path) -> None:
    data, words = NO_TABLE[name]
    with pytest.raises(BadInput, match=words) as refused:
        read(write(tmp_path, name, data), tmp_path)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no data files"),
        ({"_SUCCESS": ""}, "no data files"),
        ({"_delta_log/0.json": "{}", "part-0.parquet": parquet(pa.table(ROWS))}, "a Delta table"),
        ({"metadata/v1.metadata.json": "{}", "data/0.parquet": parquet(pa.table(ROWS))}, "an Iceberg table"),
        ({"_temporary/0/part-0.csv": TEXT}, "has not finished"),
        ({"a.csv": TEXT, "b.jsonl": LINES}, "two formats"),
        ({"a.csv": "tenure,target\n1,0\n", "b.csv": "target\n0\n"}, "different columns: 'tenure'"),
        ({"a.csv": "tenure\n1\n", "b.csv": "tenure\nx\n"}, r"b.csv.*'x'.*row 1"),
    ],
)
def test_a_folder_that_is_no_table_says_why(tmp_path: Path, files: dict[str, bytes | str], words: str) -> None:
    (tmp_path / "f").mkdir()
    for name, data in files.items():
        write(tmp_path / "f", name, data)
    with pytest.raises(LeadScoringError, match=words):
        read(tmp_path / "f", tmp_path)


def test_an_error_names_table_column_value_and_row(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "tenure;target\n1;0\n2,5;1\n")
    with pytest.raises(BadInput, match=r"column 'tenure' of table .*t.csv is '2,5', which has a comma.* \(row 2\)"):
        read(path, tmp_path)
    with pytest.raises(NotFound, match="gone.csv does not exist"):
        open_table(tmp_path / "gone.csv")
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotFound, match="git annex get"):
        open_table(tmp_path / "link.csv")


def test_an_unused_column_of_any_type_stops_nothing(tmp_path: Path) -> None:
    odd = {
        "struct": [{"a": 1}],
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        "time": [dt.time(1)],
        "uuid": pa.array([uuid.UUID(int=1).bytes], pa.uuid()),
        "duration": pa.array([1], pa.duration("s")),
        "decimal256": pa.array([1], pa.decimal256(60, 2)),
        "interval": [[{"deep": [1]}]],
        "tenure.x": [1],
    }
    pq.write_table(pa.table({"tenure": [1.0], **odd}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", tmp_path) == {"tenure": [1.0]}


def test_a_column_that_nothing_is_computed_from_is_empty_where_it_does_not_fit(tmp_path: Path) -> None:
    pq.write_table(pa.table({"tenure": [1.0], "company": [{"name": "x"}]}), tmp_path / "t.parquet")
    wanted = [WANTED[0], Column("company", "text", required=False, matters=False)]
    assert read(tmp_path / "t.parquet", tmp_path, wanted) == {"tenure": [1.0], "company": [None]}


def test_a_table_longer_than_a_batch_keeps_every_row_in_its_order(tmp_path: Path) -> None:
    table = pa.table({"tenure": pa.array(range(150_000), pa.int64()), "target": [0, 1, None] * 50_000})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=70_000)
    with (tmp_path / "t.csv").open("wb") as stream:
        pacsv.write_csv(table, stream)
    first, second = read(tmp_path / "t.parquet", tmp_path), read(tmp_path / "t.csv", tmp_path)
    assert first == second
    assert first["tenure"] == [float(number) for number in range(150_000)]


def test_a_small_file_that_unpacks_large_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """10 million rows in one row group of less than a megabyte: 160 MB if it were read as a whole."""
    rows = 10_000_000
    column = pa.array(np.zeros(rows))
    with pq.ParquetWriter(
        tmp_path / "t.parquet", pa.schema([("tenure", pa.float64()), ("target", pa.float64())])
    ) as file:
        file.write_table(pa.table({"tenure": column, "target": column}), row_group_size=rows)
    assert (tmp_path / "t.parquet").stat().st_size < 1_000_000
    del column
    code = (
        "import resource, sys; from pathlib import Path; from lead_scoring.tables import Column, open_table, take; "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024; before = peak(); "
        "wanted = [Column('tenure', 'number'), Column('target', 'flag')]; "
        "taken = take(open_table(sys.argv[1]), wanted, Path(sys.argv[2])); print(taken.rows, peak() - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "t.parquet"), str(tmp_path / "taken.parquet")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    read_rows, megabytes = map(int, found.stdout.split())
    assert read_rows == rows
    assert megabytes < 80


def test_the_table_of_a_source_is_found_in_any_format_but_only_once(tmp_path: Path) -> None:
    assert find_table(tmp_path / "none", "leads") is None
    (tmp_path / "leads.md").write_text("notes")
    csv = write(tmp_path, "leads.csv.gz", gzip.compress(b"a\n"))
    assert find_table(tmp_path, "leads") == str(csv)
    write(tmp_path, "leads/part-0.csv", "a\n")
    with pytest.raises(BadInput, match=r"has leads and leads.csv.gz for one table"):
        find_table(tmp_path, "leads")
