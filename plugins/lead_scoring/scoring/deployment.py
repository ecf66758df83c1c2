"""What a deployed function consists of beside the model: its code, its requirements, its description, and the modules
of this library that scoring one lead imports. No Airflow, no pandas, no settings."""

from __future__ import annotations

from pathlib import Path

import lead_scoring

TEMPLATE = Path(__file__).parent / "function"
MODULES = (
    "__init__.py",
    "errors.py",
    "stage.py",
    "text.py",
    "storage/__init__.py",
    "storage/below.py",
    "storage/interface.py",
    "storage/names.py",
    "storage/local.py",
    "registry/__init__.py",
    "registry/events.py",
    "registry/placed.py",
    "registry/state.py",
    "registry/verified.py",
    "model/__init__.py",
    "model/buckets.py",
    "model/native.py",
    "model/calibrators",
    "scoring/__init__.py",
    "scoring/booster.py",
    "scoring/http.py",
    "scoring/lead_checks.py",
    "scoring/loading.py",
    "scoring/scorer.py",
    "scoring/trees.py",
    "scoring/ubjson.py",
)


def function_files() -> dict[str, str]:
    """Relative name to text, for the folder ``models/production``: ``cloud_function_code.py``, ``requirements.txt``,
    ``openapi.json`` and ``lead_scoring/...``."""
    library = Path(lead_scoring.__file__).parent
    files = {path.name: path.read_text() for path in sorted(TEMPLATE.iterdir()) if path.is_file()}
    for name in MODULES:
        entry = library / name
        for path in sorted(entry.glob("*.py")) if entry.is_dir() else [entry]:
            files[f"lead_scoring/{path.relative_to(library).as_posix()}"] = path.read_text()
    return files
