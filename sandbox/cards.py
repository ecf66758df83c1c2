"""A reader for the models folder: model cards as pages, pictures as pictures, everything else as text.

Stands in for the Cloud Storage console on a laptop, so that the links in Airflow lead somewhere. Loopback only, read
only, one folder.
"""

from __future__ import annotations

import argparse
import html
import mimetypes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }}
th, td {{ border: 1px solid #8886; padding: .3rem .7rem; text-align: left; font-variant-numeric: tabular-nums }}
img {{ max-width: 100%; background: #fff }} code, pre {{ font-size: .9em }} pre {{ overflow-x: auto }}
nav {{ color: #888; margin-bottom: 1.5rem }}
</style></head><body><nav><a href="/models/">models</a> / {title}</nav>{body}</body></html>"""


def render(folder: Path, path: str) -> tuple[int, str, bytes]:
    """Status, content type and body for one path below ``/models/``."""
    target = (folder / path).resolve()
    if not target.is_relative_to(folder.resolve()) or not target.exists():
        return 404, "text/plain; charset=utf-8", f"no file models/{path}; see /models/".encode()
    title = html.escape(path or "models")
    if target.is_dir():
        names = sorted(item.name + ("/" if item.is_dir() else "") for item in target.iterdir())
        base = "/models/" + (path.rstrip("/") + "/" if path else "")
        rows = "".join(f'<li><a href="{quote(base + name)}">{html.escape(name)}</a></li>' for name in names)
        return 200, "text/html; charset=utf-8", PAGE.format(title=title, body=f"<ul>{rows}</ul>").encode()
    if target.suffix == ".md":
        body = MarkdownIt("commonmark", {"html": False}).enable("table").render(target.read_text())
        return 200, "text/html; charset=utf-8", PAGE.format(title=title, body=body).encode()
    kind = mimetypes.guess_type(target.name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind == "application/json":
        kind = "text/plain; charset=utf-8"  # shown, never interpreted
    return 200, kind, target.read_bytes()


def serve(port: int, folder: Path) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
            path = unquote(urlsplit(self.path).path)
            if path == "/healthz":
                status, kind, body = 200, "text/plain", b"ok"
            else:
                status, kind, body = render(folder, path.removeprefix("/models").strip("/"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.cards", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    serve(options.port, options.folder).serve_forever()


if __name__ == "__main__":
    main()
