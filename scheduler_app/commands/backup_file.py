"""The file of a backup: a zip whose manifest has the size and digest of everything in it.

What must stay secret is encrypted (AES-256-GCM) with a key made of a passphrase (scrypt, RFC 7914), and the manifest
with it as additional data: whoever does not know the passphrase can change nothing unnoticed.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scheduler_app.commands.problems import CommandProblem

FORMAT = 1
DATABASE = "database.sqlite3"
JOBS = "jobs/"
_MANIFEST, _PRIVATE = "manifest.json", "private.bin"
_LARGEST_MANIFEST = 16 * 1024 * 1024
_MOST_FILES = 100_000
_BLOCK = 1024 * 1024
# 128 MB and half a second: RFC 7914's advice for files, doubled a few times since.
_SCRYPT = {"n": 2**17, "r": 8, "p": 1}
_NO_BACKUP = "it is no backup of this program, or it is damaged"
# What reading a zip raises; RuntimeError is for one that is encrypted, or nested without end.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError)
_KEY, _NONCE, _SALT = 32, 12, 16
# As Windows allows names, whose rules are the narrowest.
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')


class BackupWriter:
    """Writes a backup into *file*, which is open for writing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, source: Path) -> None:
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as read, self._zip.open(name, "w", force_zip64=True) as write:
            while block := read.read(_BLOCK):
                digest.update(block)
                size += len(block)
                write.write(block)
        self._files[name] = {"size": size, "sha256": digest.hexdigest()}

    def finish(self, facts: dict[str, Any], private: dict[str, Any], passphrase: str) -> None:
        """Write what is to be encrypted and the manifest, with *facts* for people and programs."""
        salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
        keys = {"salt": b64encode(salt).decode(), "nonce": b64encode(nonce).decode(), "scrypt": _SCRYPT}
        manifest = json.dumps({"format": FORMAT, **facts, "files": self._files, "key": keys}, indent=1).encode()
        sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, json.dumps(private).encode(), manifest)
        self._zip.writestr(_PRIVATE, sealed)
        self._zip.writestr(_MANIFEST, manifest)
        self._zip.close()


class BackupReader:
    """A backup that somebody hands over: nothing in it is believed before it has been checked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise CommandProblem(f"cannot read {path}: {error.strerror or error}") from error
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            self._refuse(_NO_BACKUP)
        try:
            self._members = self._checked_members()
            self._raw_manifest = self._read(_MANIFEST, _LARGEST_MANIFEST)
            self.manifest: dict[str, Any] = json.loads(self._raw_manifest)
            self._check_manifest()
        except (*_DAMAGED, ValueError, KeyError, TypeError, AttributeError):
            self._zip.close()
            self._refuse(_NO_BACKUP)
        except CommandProblem:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> list[str]:
        return list(self.manifest["files"])

    @property
    def size(self) -> int:
        """Return how many bytes the files take when they are unpacked."""
        return sum(each["size"] for each in self.manifest["files"].values())

    def private(self, passphrase: str) -> dict[str, Any]:
        """Return what is encrypted; afterwards the manifest is known to be as it was written."""
        keys = self.manifest["key"]
        if keys["scrypt"] != _SCRYPT:
            self._refuse("its key is made in a way that this version does not know")
        try:
            sealed = self._read(_PRIVATE, _LARGEST_MANIFEST)
            salt, nonce = b64decode(keys["salt"]), b64decode(keys["nonce"])
            text = AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, self._raw_manifest)
            private: dict[str, Any] = json.loads(text)
        except (InvalidTag, ValueError, *_DAMAGED):
            self._refuse("the passphrase is another one, or somebody has changed the file")
        return private

    def extract(self, name: str, target: Path) -> None:
        """Write the file called *name* to *target*, which is not there yet; its size and digest are checked."""
        known, digest, size = self.manifest["files"][name], hashlib.sha256(), 0
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with self._zip.open(self._members[name]) as read, target.open("xb") as write:
                while block := read.read(_BLOCK):
                    size += len(block)
                    if size > known["size"]:
                        break
                    digest.update(block)
                    write.write(block)
                write.flush()
                os.fsync(write.fileno())
        except _DAMAGED as error:
            self._refuse(f"{name} is damaged ({error})")
        if size != known["size"] or digest.hexdigest() != known["sha256"]:
            self._refuse(f"{name} is not what was backed up")

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        members = self._zip.infolist()
        if len(members) > _MOST_FILES:
            self._refuse(f"it holds more than {_MOST_FILES:,} files")
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            plain = kind in {0, stat.S_IFREG} and member.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
            if not plain or not _is_fit(member.filename):
                self._refuse(f"it holds {member.filename[:80]!r}, which no backup has")
        if len({member.filename.casefold() for member in members}) != len(members):
            self._refuse("it holds a file twice")
        return {member.filename: member for member in members}

    def _check_manifest(self) -> None:
        if self.manifest["format"] != FORMAT:
            self._refuse("a newer version of this program made it; install that version")
        files = self.manifest["files"]
        if {*files, _MANIFEST, _PRIVATE} != set(self._members) or DATABASE not in files:
            self._refuse("its files are not those of its manifest")
        for each in files.values():
            if type(each["size"]) is not int or each["size"] < 0 or not isinstance(each["sha256"], str):
                raise ValueError("a size or a digest is none")
        keys = self.manifest["key"]
        if not all(isinstance(keys[name], str) for name in ("salt", "nonce")):
            raise ValueError("the key's salt or nonce is none")

    def _read(self, name: str, most: int) -> bytes:
        with self._zip.open(self._members[name]) as file:
            content = file.read(most + 1)
        if len(content) > most:
            self._refuse(f"{name} is larger than any backup has it")
        return content

    def _refuse(self, why: str) -> NoReturn:
        raise CommandProblem(f"cannot restore {self._path}: {why}")


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file, readable for its owner only, that appears as *path* when it is complete; nothing is replaced."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists():
            raise CommandProblem(f"cannot write {path}: it is there already; choose another name")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError as error:
        raise CommandProblem(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _is_fit(name: str) -> bool:
    """Tell whether *name* is one that a backup may have: below its own folder, on every system."""
    if name in {DATABASE, _MANIFEST, _PRIVATE}:
        return True
    parts = name.split("/")
    return (
        name.startswith(JOBS)
        and not _UNFIT.search(name)
        and all(part not in {"", ".", ".."} and part.rstrip(". ") == part for part in parts)
        and len(PurePosixPath(name).parts) == len(parts)
    )


def _key(passphrase: str, salt: bytes) -> bytes:
    room = 2 * 128 * _SCRYPT["n"] * _SCRYPT["r"]
    return hashlib.scrypt(passphrase.encode(), salt=salt, **_SCRYPT, maxmem=room, dklen=_KEY)
