"""A small Cloud Storage on loopback that honours preconditions.

It serves what Google's Python client asks of ``STORAGE_EMULATOR_HOST`` for objects: upload in one piece or resumable,
download, metadata, list, delete. Its reason to exist: under one lock, a write whose ``ifGenerationMatch`` does not hold
is answered 412 and changes nothing. (The emulator on PyPI lets all of 16 racing creations win.)
"""
