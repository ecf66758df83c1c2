"""Which versions exist, which is in production, since when, by whom and why; that their bytes are as packaged.

:class:`Registry` answers and changes; :func:`publish_package` puts a version's files into the store; :func:`verify`
checks them; :func:`sign_package` vouches for them.
"""

from __future__ import annotations

from lead_scoring.registry.package import Package, check_placed, open_package, publish_package
from lead_scoring.registry.registry import Registry
from lead_scoring.registry.signing import sign_package
from lead_scoring.registry.verification import verify

__all__ = ["Package", "Registry", "check_placed", "open_package", "publish_package", "sign_package", "verify"]
