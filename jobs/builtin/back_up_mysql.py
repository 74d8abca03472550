"""The built-in job that dumps a MySQL or MariaDB database by mysqldump."""

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

from jobs import Check, JobFailed, Label, SecretText, job
from jobs.builtin import _dumps
from jobs.builtin._files import existing_folder
from jobs.builtin._rotation import check_keep, check_name, new_file, prune

_SUFFIX = ".sql.gz"
_END = b"-- Dump completed"  # mysqldump's last line; without it the dump is not whole


@job(title="Back up a MySQL database", group="Databases", permission="jobs.run_command")
def back_up_mysql(
    database: str,
    target: Annotated[Path, Label("Folder for the dumps")],
    host: str = "",
    port: int | None = None,
    user: str = "",
    password: SecretText | None = None,
    name: Annotated[str, Check(check_name), Label("Beginning of their names")] = "mysql",
    keep: Annotated[int | None, Check(check_keep)] = 7,
) -> None:
    """Dump a MySQL or MariaDB database as compressed SQL, as it is at one moment where its tables are InnoDB's.

    Needs mysqldump or mariadb-dump.

    Args:
        database: The database's name.
        target: It must exist: on a disk that is not mounted nothing is written.
        host: Name or address of the server. Empty: this machine.
        port: Empty: 3306.
        user: Empty: the user the scheduler runs as.
        password: Empty: none, or what the file .my.cnf says.
        name: The time follows it.
        keep: How many dumps of this name stay, the new one included. Empty: all.
    """
    folder = existing_folder(target, "write to")
    if database.startswith("-"):
        raise JobFailed(f"cannot back up the database {database!r}: a name cannot begin with -")
    dump = _dumps.program(("mariadb-dump", "mysqldump"), "the client programs of MySQL or MariaDB")
    options = {"host": host, "port": str(port or ""), "user": user}
    with new_file(folder, name, _SUFFIX) as draft, _options(password) as options_first:
        given = [f"--{option}={value}" for option, value in options.items() if value]
        kept = ["--single-transaction", "--quick", "--routines", "--triggers", "--events"]
        packing = _Packing(draft)
        _dumps.run([dump, *options_first, *given, *kept, database], {}, take=packing.take)
        if _END not in packing.end:
            raise JobFailed(f"the dump that {Path(dump).name} wrote has no end, so it is not whole; not kept")
    prune(folder, name, _SUFFIX, keep)


@contextmanager
def _options(password: SecretText | None) -> Iterator[list[str]]:
    """Yield the options that give the password: the name of a file that only its owner reads, which then goes."""
    if password is None:
        yield []
        return
    quoted = password.get_secret_value().replace("\\", "\\\\").replace('"', '\\"')
    with tempfile.TemporaryDirectory(prefix="scheduler-") as folder:
        file = Path(folder, "options.cnf")
        file.touch(mode=0o600)
        file.write_text(f'[client]\npassword="{quoted}"\n', encoding="utf-8")
        yield [f"--defaults-extra-file={file}"]


class _Packing:
    """Compresses a stream into a file, and knows its last bytes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.end = b""

    def take(self, stream: IO[bytes]) -> None:
        with gzip.open(self._file, "wb", compresslevel=6) as packed:
            while block := stream.read(1 << 20):
                packed.write(block)
                self.end = (self.end + block)[-1000:]
