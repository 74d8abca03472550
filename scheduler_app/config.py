"""One frozen, typed Config out of defaults < scheduler.toml < SCHEDULER_SECTION_KEY variables.

Each setting is described once, as a field of its section: name, default, and the Kind that reads it.
A secret is also read from the file that SCHEDULER_SECTION_KEY_FILE names. A list in a variable is
separated by commas. A relative path in the file starts at the file's folder, one in a variable at the
current folder. `load()` reports all problems at once.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from scheduler_app import routing
from scheduler_app import setting_kinds as kinds
from scheduler_app.setting_kinds import MASK, Kind, Secret, did_you_mean

__all__ = ["MASK", "Config", "ConfigError", "Problem", "Secret", "Shown", "load", "masked"]

PREFIX = "SCHEDULER_"
# Variables that this program sets for its own children; none of them is a setting.
_OF_A_RUN = ("RUN_ID", "SCHEDULE", "FIRE_TIME", "ATTEMPT", "PROGRESS")
_OF_ITS_PARENT = ("PARENT_RUN_ID", "PARENT_SCHEDULE", "PARENT_STATE", "PARENT_EXIT_CODE", "PARENT_REASON")
NOT_SETTINGS = frozenset(
    PREFIX + name for name in ("CONFIG", "SERVICE_ID", "PULSE", "TREE", *_OF_A_RUN, *_OF_ITS_PARENT)
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration, and where it stands: a file and its line, or a variable."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({self.where})"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds all that is wrong with it, str() one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def default_data_folder() -> Path:
    from platformdirs import user_data_path  # noqa: PLC0415 - not needed when a folder is given

    return user_data_path("scheduler-app", appauthor=False)


@dataclass(frozen=True, slots=True)
class Data:
    folder: Annotated[Path, kinds.folder()] = field(default_factory=default_data_folder)


@dataclass(frozen=True, slots=True)
class General:
    time_zone: Annotated[str | None, kinds.time_zone()] = None  # None: the machine's


@dataclass(frozen=True, slots=True)
class Web:
    host: Annotated[str, kinds.text()] = "127.0.0.1"
    port: Annotated[int | None, kinds.whole_number(1, 65535)] = None  # None: a free one is picked and remembered
    allowed_hosts: Annotated[tuple[str, ...], kinds.texts()] = ()


BrokerKind = Literal["auto", "rabbitmq", "embedded"]


@dataclass(frozen=True, slots=True)
class Broker:
    kind: Annotated[BrokerKind, kinds.choice(*get_args(BrokerKind))] = "auto"
    url: Annotated[Secret | None, kinds.secret(kinds.check_broker_url)] = None


@dataclass(frozen=True, slots=True)
class Database:
    url: Annotated[Secret | None, kinds.secret(kinds.check_database_url)] = None  # None: SQLite in the data folder


Pool = Literal["auto", "solo", "threads", "prefork"]


@dataclass(frozen=True, slots=True)
class Worker:
    pool: Annotated[Pool, kinds.choice(*get_args(Pool))] = "auto"
    concurrency: Annotated[int | None, kinds.whole_number(1)] = None  # None: 4 on threads
    processes: Annotated[int, kinds.whole_number(1)] = 1
    queues: Annotated[tuple[str, ...], kinds.names(routing.check_queue, routing.ANY)] = (routing.ANY,)
    topics: Annotated[tuple[str, ...], kinds.names(routing.check_pattern, "reports.eu.#")] = ()
    labels: Annotated[tuple[str, ...], kinds.labels()] = ()
    machine: Annotated[str | None, kinds.checked(routing.check_machine)] = None  # None: the host's name
    lease: Annotated[float, kinds.duration()] = 30.0  # seconds
    stop_limit: Annotated[float, kinds.duration()] = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Jobs:
    folder: Annotated[Path | None, kinds.folder()] = None  # None: <data>/jobs
    output_limit: Annotated[int, kinds.size()] = 1_000_000  # bytes kept of one run's output
    environment: Annotated[tuple[str, ...], kinds.texts()] = ()  # variables that jobs see; none named: all
    # Beside public ones: which addresses, networks or names the jobs that call web addresses may call.
    allowed_addresses: Annotated[tuple[str, ...], kinds.addresses()] = ()


@dataclass(frozen=True, slots=True)
class CeleryTasks:
    """Django apps of others, and which of their Celery tasks may be scheduled."""

    apps: Annotated[tuple[str, ...], kinds.texts()] = ()
    tasks: Annotated[tuple[str, ...], kinds.texts()] = ()
    accepts: Annotated[tuple[str, ...], kinds.texts()] = ()  # jobs that any Celery client on the broker may start
    path: Annotated[Path | None, kinds.folder()] = None  # where the apps are, when they are not installed


MailSecurity = Literal["none", "starttls", "tls"]


@dataclass(frozen=True, slots=True)
class Mail:
    host: Annotated[str | None, kinds.text()] = None  # None: no e-mail can be sent
    port: Annotated[int | None, kinds.whole_number(1, 65535)] = None  # None: what is usual for the security
    security: Annotated[MailSecurity, kinds.choice(*get_args(MailSecurity))] = "starttls"
    user: Annotated[str | None, kinds.text()] = None
    password: Annotated[Secret | None, kinds.secret()] = None
    sender: Annotated[str | None, kinds.mail_address()] = None  # None: the user, where that is an address


Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Logs:
    level: Annotated[Level, kinds.choice(*get_args(Level))] = "info"
    max_size: Annotated[int, kinds.size()] = 5_000_000  # bytes; then the file is rotated
    keep: Annotated[int, kinds.whole_number(0)] = 5  # rotated files


@dataclass(frozen=True, slots=True)
class Retention:
    days: Annotated[int, kinds.whole_number(1)] = 90
    runs_per_schedule: Annotated[int, kinds.whole_number(1)] = 1_000
    output: Annotated[int, kinds.size()] = 1_000_000_000  # bytes, of all runs together
    ballast: Annotated[int, kinds.size()] = 16_000_000  # bytes, given up when the disk is full


KeyStore = Literal["auto", "file"]


@dataclass(frozen=True, slots=True)
class Security:
    key: Annotated[Secret | None, kinds.secret()] = None  # None: the generated <data>/secret.key
    secrets_key: Annotated[Secret | None, kinds.secret(kinds.check_long_key)] = None  # None: by key_store
    key_store: Annotated[KeyStore, kinds.choice(*get_args(KeyStore))] = "auto"  # auto: the keyring, else a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    data: Data
    general: General = General()
    web: Web = Web()
    broker: Broker = Broker()
    database: Database = Database()
    worker: Worker = Worker()
    jobs: Jobs = Jobs()
    celery: CeleryTasks = CeleryTasks()
    mail: Mail = Mail()
    logs: Logs = Logs()
    retention: Retention = Retention()
    security: Security = Security()
    source: Path | None = None  # the TOML file that was read, None when there was none
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)  # "web.port": where it is set
    variables: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)  # paths made absolute

    def as_environment(self) -> dict[str, str]:
        """Return the variables with which a child process, in whatever folder, loads this very configuration.

        They go on top of the variables this configuration was loaded with. The null device stands for
        "no file": without it a child would look into the data folder that is named here.
        """
        return {
            **self.variables,
            f"{PREFIX}CONFIG": str(self.source or os.devnull),
            f"{PREFIX}DATA_FOLDER": str(self.data.folder),
        }


class Shown(NamedTuple):
    """A setting as `config show` prints it: JSON-ready, secrets masked, and where it was set."""

    value: object
    origin: str


def masked(config: Config) -> dict[str, Shown]:
    """Return every setting by its name, such as "web.port"."""
    shown = {}
    for name, (section, key, _) in _SETTINGS.items():
        value: object = getattr(getattr(config, section), key)
        if isinstance(value, Secret | Path):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        shown[name] = Shown(value, config.origins.get(name, "default"))
    return shown


def load(
    config_file: Path | None = None, data_folder: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Config:
    """Read the configuration; *config_file* and *data_folder* are the command line's and win.

    Raises ConfigError with all problems. A file that was named must exist, the default one need not.
    """
    return _Loader(environ).load(config_file, data_folder)


class _Loader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []
        self.values: dict[str, object] = {}
        self.origins: dict[str, str] = {}
        self.variables: dict[str, str] = {}

    def load(self, config_file: Path | None, data_folder: Path | None) -> Config:
        source, content = self.read_file(config_file, data_folder)
        if source is not None:
            self.take_file(source, content)
        self.take_variables()
        if data_folder is not None:
            self.take("data.folder", str(data_folder), "--data", Path.cwd())
        self.check_together()
        if self.problems:
            raise ConfigError(self.problems)
        sections: dict[str, Any] = {
            section: kind(
                **{
                    key: self.values[name]
                    for name, (of, key, _) in _SETTINGS.items()
                    if of == section and name in self.values
                }
            )
            for section, kind in _SECTIONS.items()
        }
        return Config(**sections, source=source, origins=self.origins, variables=self.variables)

    def read_file(self, config_file: Path | None, data_folder: Path | None) -> tuple[Path | None, str]:
        """Return the configuration file and its text; (None, "") when there is none."""
        variable = f"{PREFIX}CONFIG"
        named = config_file or self.environ.get(variable)
        given = data_folder or self.environ.get(f"{PREFIX}DATA_FOLDER")
        if named:
            where = "--config" if config_file else variable
            file = named
        else:
            where = "the default configuration file"
            file = Path(given or _default_config_folder()) / "scheduler.toml"
        try:
            path = kinds.user_path(str(file)).absolute()
            if path == Path(os.devnull).absolute():
                return None, ""
            return path, path.read_text(encoding="utf-8-sig")  # Windows' editors put a byte order mark in front
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError) and not named:
                return None, ""
            message = f"cannot read the configuration file {file}: {_why_unreadable(error)}"
            self.problems.append(Problem(where, message))
        return None, ""

    def take_file(self, source: Path, content: str) -> None:
        import tomllib  # noqa: PLC0415 - costs 5 ms that only a configuration file has to pay for

        lines = dict(_lines_of_keys(content))

        def where(name: str) -> str:
            line = lines.get(name) or lines.get(name.partition(".")[0])
            return f"{source}, line {line}" if line else str(source)

        try:
            table = tomllib.loads(content)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column \d+\)", str(error))
            line = int(found[1]) if found else content.rstrip().count("\n") + 1
            reason = re.sub(r" \(at .*\)$", "", str(error))
            message = f"cannot read the configuration: {reason}; see https://toml.io for how it is written"
            self.problems.append(Problem(f"{source}, line {line}", message))
            return
        for section, entries in table.items():
            if not isinstance(entries, dict) and section not in _SECTIONS:
                self.take_entry(section, entries, where(section), source.parent)
            elif section not in _SECTIONS:
                near = did_you_mean(section, _SECTIONS)
                self.problems.append(Problem(where(section), f"there is no section [{section}]{near}"))
            elif not isinstance(entries, dict):
                # The value is not shown: it may be the address that belongs into the section.
                message = f"cannot use {section} as a setting: it is a section, write [{section}]"
                self.problems.append(Problem(where(section), message))
            else:
                for key, value in entries.items():
                    self.take_entry(f"{section}.{key}", value, where(f"{section}.{key}"), source.parent)

    def take_entry(self, name: str, value: object, where: str, base: Path) -> None:
        if name in _SETTINGS:
            self.take(name, value, where, base)
        else:
            self.problems.append(Problem(where, f"there is no setting {name}{did_you_mean(name, _SETTINGS)}"))

    def take_variables(self) -> None:
        for variable in sorted(self.environ):
            if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
                continue
            if variable in _FILE_VARIABLES:
                self.take_secret_file(variable)
            elif variable in _VARIABLES:
                name = _VARIABLES[variable]
                self.take(name, _SETTINGS[name].kind.from_text(self.environ[variable]), variable, Path.cwd())
                if isinstance(path := self.values.get(name), Path):
                    self.variables[variable] = str(path)
            else:
                near = did_you_mean(variable, [*_VARIABLES, *_FILE_VARIABLES])
                self.problems.append(Problem(variable, f"there is no setting for the variable {variable}{near}"))

    def take_secret_file(self, variable: str) -> None:
        name, file = _FILE_VARIABLES[variable], self.environ[variable]
        other = variable.removesuffix("_FILE")
        if other in self.environ:
            message = f"cannot use {variable} and {other} together: unset one of them"
            self.problems.append(Problem(variable, message))
            return
        try:
            path = kinds.user_path(file).absolute()
            value = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
        except (OSError, ValueError) as error:
            message = f"cannot read {name} from the file {file!r}: {_why_unreadable(error)}"
            self.problems.append(Problem(variable, message))
            return
        self.variables[variable] = str(path)
        self.take(name, value, f"{variable}, file {path}", path.parent)

    def take(self, name: str, raw: object, where: str, base: Path) -> None:
        kind = _SETTINGS[name].kind
        try:
            value = kind.check(raw)
        except ValueError as error:
            shown = MASK if kind.secret else _shown(raw)
            self.problems.append(Problem(where, f"cannot use {name} = {shown}: {error}"))
            # Whatever an earlier place said is not what was meant: nothing else is judged by it.
            self.values.pop(name, None)
            return
        self.values[name] = base.absolute() / value if isinstance(value, Path) else value
        self.origins[name] = where

    def check_together(self) -> None:
        """Report settings that are each in order and contradict each other."""
        self.check_mail()
        kind, url = self.values.get("broker.kind"), self.values.get("broker.url")
        if not isinstance(url, Secret):
            return
        embedded_url = url.reveal().startswith("embedded:")
        if kind == "embedded" or (kind == "rabbitmq" and embedded_url):
            said = f'broker.kind = "{kind}" ({self.origins["broker.kind"]})'
            message = f"cannot use broker.url together with {said}: remove one of them"
            self.problems.append(Problem(self.origins["broker.url"], message))

    def check_mail(self) -> None:
        """Refuse to send a password through a network where everybody can read it."""
        security, host = self.values.get("mail.security"), self.values.get("mail.host")
        if security == "none" and "mail.password" in self.values and host not in {"localhost", "127.0.0.1", "::1"}:
            message = (
                f'cannot use mail.password together with mail.security = "none" ({self.origins["mail.security"]}): it '
                'would travel readable; use "starttls" or "tls"'
            )
            self.problems.append(Problem(self.origins["mail.password"], message))


def _default_config_folder() -> Path:
    from platformdirs import user_config_path  # noqa: PLC0415 - not needed when a file or folder is given

    return user_config_path("scheduler-app", appauthor=False)


def _lines_of_keys(content: str) -> Iterator[tuple[str, int]]:
    """Yield "section" and "section.key" with the line they stand on; a plain scan, as tomllib keeps no lines."""
    section = ""
    for number, line in enumerate(content.split("\n"), start=1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            section = _plain(header[1])
            yield section, number
        elif entry := re.match(r"\s*([\w\-.\"' ]+?)\s*=", line):
            name = _plain(entry[1])
            yield (f"{section}.{name}" if section else name), number


def _plain(dotted: str) -> str:
    return ".".join(part.strip(" \"'") for part in dotted.split("."))


def _why_unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


class _Setting(NamedTuple):
    section: str
    key: str
    kind: Kind


def _kind(annotated: Any) -> Kind:
    return next(each for each in annotated.__metadata__ if isinstance(each, Kind))


_SECTIONS: dict[str, Any] = {part.name: part.type for part in fields(Config) if is_dataclass(part.type)}
_SETTINGS = {
    f"{section}.{each.name}": _Setting(section, each.name, _kind(each.type))
    for section, kind in _SECTIONS.items()
    for each in fields(kind)
}
_VARIABLES = {f"{PREFIX}{name.replace('.', '_').upper()}": name for name in _SETTINGS}
_FILE_VARIABLES = {f"{variable}_FILE": name for variable, name in _VARIABLES.items() if _SETTINGS[name].kind.secret}
