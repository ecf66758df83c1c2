"""``python -m sandbox.gcs_server --port 4443 --bucket lead-scoring``: serve until interrupted."""

from __future__ import annotations

import argparse

from sandbox.gcs_server.server import GcsServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.gcs_server", description=__doc__)
    parser.add_argument("--port", type=int, default=4443, help="on 127.0.0.1; 0: any free one (default: %(default)s)")
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to begin with; may be repeated")
    parser.add_argument(
        "--drop-reply-every", type=int, default=0, metavar="N", help="lose every N-th answer to a write"
    )
    parser.add_argument("--unavailable-every", type=int, default=0, metavar="N", help="answer every N-th request 503")
    options = parser.parse_args()
    server = GcsServer(
        options.port, drop_reply_every=options.drop_reply_every, unavailable_every=options.unavailable_every
    )
    for bucket in options.bucket:
        server.objects.create_bucket(bucket)
    print(f"STORAGE_EMULATOR_HOST={server.endpoint}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
