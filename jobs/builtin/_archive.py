"""Archives as a stream of files: written entry by entry with a checksum each, and read back to compare them."""

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol, Self

BLOCK = 1 << 20

# name in the archive → (size, CRC-32) of what was put there
Manifest = dict[str, tuple[int, int]]


class Archive(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def add_file(self, path: Path, name: str) -> None: ...
    def add_link(self, path: Path, name: str) -> None: ...
    def add_folder(self, path: Path, name: str) -> None: ...


class Counted:
    """A file to read that counts and sums up what is read, and, with a *size*, gives exactly that many bytes."""

    def __init__(self, file: IO[bytes], size: int | None = None) -> None:
        self._file = file
        self._left = size
        self.size = 0
        self.checksum = 0
        self.fell_short = False

    def read(self, count: int = BLOCK) -> bytes:
        if self._left is not None:
            count = min(count, self._left)
        block = self._file.read(count)
        if self._left is not None:
            if len(block) < count:  # it shrank: the archive's header has promised this many
                self.fell_short = True
                block += bytes(count - len(block))
            self._left -= len(block)
        self.size += len(block)
        self.checksum = zlib.crc32(block, self.checksum)
        return block


class Changed(Exception):  # noqa: N818 - it is no failure to read
    """A file became shorter while it was read."""


class ZipArchive:
    def __init__(self, file: IO[bytes], manifest: Manifest) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False)
        self._manifest = manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def add_file(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            info.compress_type = zipfile.ZIP_DEFLATED
            source = Counted(file)
            with self._zip.open(info, "w", force_zip64=True) as out:
                while block := source.read():
                    out.write(block)
            self._manifest[name] = (source.size, source.checksum)

    def add_link(self, path: Path, name: str) -> None:
        # As Info-ZIP keeps them: the mode says "link", the content is where it leads.
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        target = os.fsencode(path.readlink())
        self._zip.writestr(info, target)
        self._manifest[name] = (len(target), zlib.crc32(target))

    def add_folder(self, path: Path, name: str) -> None:
        self._zip.writestr(zipfile.ZipInfo.from_file(path, f"{name}/", strict_timestamps=False), b"")


class TarArchive:
    """A tar in the format of POSIX.1-2001 (pax), compressed by Zstandard with a checksum of its own."""

    def __init__(self, file: IO[bytes], manifest: Manifest) -> None:
        import zstandard  # noqa: PLC0415 - for those who choose it

        compressor = zstandard.ZstdCompressor(level=6, write_checksum=True, threads=-1)
        self._stream: Any = compressor.stream_writer(file, closefd=False)
        self._tar = tarfile.open(fileobj=self._stream, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed with it
        self._manifest = manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        self._stream.close()

    def add_file(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            info = self._tar.gettarinfo(arcname=name, fileobj=file)
            # A second name of one file would be kept as a reference to the first, which a change in between may break.
            info.type, info.linkname = tarfile.REGTYPE, ""
            info.size = os.fstat(file.fileno()).st_size
            source = Counted(file, info.size)
            self._tar.addfile(info, source)
            self._manifest[name] = (source.size, source.checksum)
        if source.fell_short:
            raise Changed

    def add_link(self, path: Path, name: str) -> None:
        self._tar.addfile(self._tar.gettarinfo(path, name))

    def add_folder(self, path: Path, name: str) -> None:
        self._tar.addfile(self._tar.gettarinfo(path, name))


FORMATS: dict[str, Callable[[IO[bytes], Manifest], Archive]] = {"zip": ZipArchive, "tar.zst": TarArchive}


def read_back(path: Path, kind: str) -> Manifest:
    """Return what the archive holds, every byte of it read; raises what zipfile, tarfile or zstandard raise."""
    contents = _zip_contents(path) if kind == "zip" else _tar_contents(path)
    manifest: Manifest = {}
    for name, file in contents:
        source = Counted(file)
        while source.read():
            pass
        manifest[name] = (source.size, source.checksum)
    return manifest


def _zip_contents(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                with archive.open(info) as file:
                    yield info.filename, file


def _tar_contents(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    import zstandard  # noqa: PLC0415 - as above

    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                if info.isreg():
                    content = archive.extractfile(info)
                    assert content is not None  # noqa: S101 - None only for what is no regular file
                    yield info.name, content
        # The checksum stands behind the end of the tar, in the last bytes.
        while stream.read(BLOCK):
            pass
