"""No test sees the settings, the proxy or the Airflow of the person who runs it."""

from __future__ import annotations

import os

for name in [*os.environ]:
    if name.startswith(("LEAD_SCORING", "AIRFLOW")):
        del os.environ[name]
os.environ.update({"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"})
