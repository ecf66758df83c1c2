"""Who vouches for a package: an optional signature with a key that never leaves its owner.

``model-signing`` (sigstore's tool for models) signs the digests of all files of the version, manifest included, with an
elliptic-curve key. The signature lies beside the package; who may sign is a folder of public keys, ``<who>.pub``.
A pair of keys::

    openssl ecparam -name prime256v1 -genkey -noout -out maria.key
    openssl ec -in maria.key -pubout -out maria.pub
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.registry.package import Package
from lead_scoring.registry.verified import PRODUCTION, manifest_object
from lead_scoring.storage import ObjectStore

UNSIGNED = "unsigned"


def signature_object(version: str) -> str:
    return f"{PRODUCTION}signature_{version}.json"


def sign_package(package: Package, private_key: Path) -> str:
    """Sign every file of the version and store the signature. Signing again replaces it.

    :param private_key: PEM, elliptic curve, without a password.
    :return: the name of the signature's object.
    :raises BadInput: the key cannot be used. :raises CheckFailed: a file is not the one that was packaged.
    """
    from model_signing import signing

    if not private_key.is_file():
        raise BadInput(f"private key {private_key} does not exist; give the path of a PEM file")
    with _as_folder(package) as folder:
        target = folder.parent / "signature.json"
        try:
            signing.Config().use_elliptic_key_signer(private_key=private_key).sign(folder, target)
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"private key {private_key} cannot sign: {error}; give an elliptic-curve key in PEM"
            ) from error
        package.store.upload(target, signature_object(package.version))
    return signature_object(package.version)


def signed_by(package: Package, keys: Path | None) -> str:
    """Who signed the version: the name of the public key that fits, ``unsigned``, or that nobody can tell.

    :param keys: folder of public keys in PEM, ``<who>.pub``. None: signatures are not checked.
    :raises CheckFailed: there is a signature and no key in the folder fits it.
    """
    data, generation = package.store.read_generation(signature_object(package.version))
    if generation == 0:
        return UNSIGNED
    trusted = sorted(keys.glob("*.pub")) if keys is not None else []
    if not trusted:
        return f"signed, not checked: no public keys in {keys or 'settings'}"
    from model_signing import verifying

    with _as_folder(package) as folder:
        signature = folder.parent / "signature.json"
        signature.write_bytes(data)
        reasons = []
        for key in trusted:
            try:
                verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, signature)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                reasons.append(f"{key.stem}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            else:
                return key.stem
    raise CheckFailed(
        f"{package.store.uri}/{signature_object(package.version)} fits no key in {keys} ({'; '.join(reasons)}); "
        "find out who signed it, or sign the version again"
    )


@contextmanager
def _as_folder(package: Package) -> Generator[Path, None, None]:
    """The version's files in a folder named after it, each one checked on the way."""
    store: ObjectStore = package.store
    with tempfile.TemporaryDirectory(prefix="lead-scoring-sign-") as work:
        folder = Path(work) / package.version
        contents = package.read_all()
        contents[manifest_object(package.version).removeprefix(PRODUCTION)] = store.read(
            manifest_object(package.version)
        )
        for name, data in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield folder
