"""The reader for the models folder shows cards as pages and never leaves its folder."""

from __future__ import annotations

import threading
import urllib.request

from sandbox.cards import render, serve


def test_a_model_card_is_a_page_with_tables(tmp_path):
    (tmp_path / "card.md").write_text("# Card\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<script>alert(1)</script>\n")
    status, kind, body = render(tmp_path, "card.md")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"<table>" in body
    assert b"<script>" not in body


def test_a_folder_is_a_list_of_links(tmp_path):
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "card.md").write_text("x")
    assert b'href="/models/production/card.md"' in render(tmp_path, "production")[2]


def test_nothing_outside_the_folder_is_shown(tmp_path):
    inside = tmp_path / "models"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("x")
    assert render(inside, "../secret.txt")[0] == 404
    assert render(inside, "missing.md")[0] == 404


def test_it_answers_on_loopback(tmp_path):
    (tmp_path / "curves.png").write_bytes(b"\x89PNG")
    server = serve(0, tmp_path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert server.server_address[0] == "127.0.0.1"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/models/curves.png", timeout=5) as answer:
            assert answer.headers["Content-Type"] == "image/png"
        with opener.open(f"{address}/healthz", timeout=5) as answer:
            assert answer.read() == b"ok"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
