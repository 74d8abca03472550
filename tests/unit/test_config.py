"""What a person may write in scheduler.toml and in variables, and what they are told when it cannot be used."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_app.config import Config, ConfigError, Data, Problem, Secret, Web, load, masked


@pytest.fixture
def toml(tmp_path):
    """Write scheduler.toml and return it."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "scheduler.toml"
        path.write_text(text, encoding=encoding)
        return path

    return write


def problems_of(config_file=None, data_folder=None, environ=None):
    with pytest.raises(ConfigError) as caught:
        load(config_file, data_folder, environ or {})
    return caught.value.problems


def test_without_file_and_variables_the_defaults_hold(tmp_path):
    assert load(data_folder=tmp_path, environ={}) == Config(data=Data(folder=tmp_path))


def test_the_documented_defaults(tmp_path):
    config = load(data_folder=tmp_path, environ={})

    assert (config.web.host, config.web.port, config.web.allowed_hosts) == ("127.0.0.1", None, ())
    assert (config.broker.kind, config.broker.url, config.database.url, config.security.key) == (
        "auto",
        None,
        None,
        None,
    )
    assert dataclasses.astuple(config.worker) == ("auto", None, 1, ("any",), (), (), None, 30.0, 30.0)
    assert dataclasses.astuple(config.jobs) == (None, 1_000_000, (), ())
    assert dataclasses.astuple(config.mail) == (None, None, "starttls", None, None, None)
    assert dataclasses.astuple(config.logs) == ("info", 5_000_000, 5)
    assert config.general.time_zone is None


def test_every_setting_can_be_set_in_the_file(toml, tmp_path):
    source = toml(
        """
        [data]
        folder = "here"
        [general]
        time_zone = "Europe/Berlin"
        [web]
        host = "192.0.2.1"
        port = 8080
        allowed_hosts = ["a.example", "b.example"]
        [broker]
        kind = "rabbitmq"
        url = "amqp://me:pw@host:5672/v"
        [database]
        url = "postgresql://me:pw@host/name"
        [worker]
        pool = "solo"
        concurrency = 2
        processes = 3
        queues = ["any", "reports"]
        topics = ["reports.#"]
        labels = { gpu = "yes" }
        machine = "desk"
        lease = "1m 30s"
        stop_limit = "500ms"
        [jobs]
        folder = "mine"
        output_limit = "2MB"
        environment = ["SHOP_*"]
        allowed_addresses = ["10.0.0.0/8"]
        [mail]
        host = "mail.example"
        port = 2525
        security = "tls"
        user = "me"
        password = "pw"
        sender = "Me <me@example.org>"
        [logs]
        level = "debug"
        max_size = "1 MiB"
        keep = 0
        [security]
        key = "s3cret"
        """
    )

    config = load(source, environ={})

    assert config.source == source
    assert config.data.folder == tmp_path / "here"
    assert config.general.time_zone == "Europe/Berlin"
    assert dataclasses.astuple(config.web) == ("192.0.2.1", 8080, ("a.example", "b.example"))
    assert (config.broker.kind, config.broker.url) == ("rabbitmq", Secret("amqp://me:pw@host:5672/v"))
    assert config.database.url == Secret("postgresql://me:pw@host/name")
    assert dataclasses.astuple(config.worker) == (
        *("solo", 2, 3, ("any", "reports"), ("reports.#",), ("gpu=yes",), "desk", 90.0, 0.5),
    )
    assert dataclasses.astuple(config.jobs) == (tmp_path / "mine", 2_000_000, ("SHOP_*",), ("10.0.0.0/8",))
    mail = ("mail.example", 2525, "tls", "me", Secret("pw"), "Me <me@example.org>")
    assert dataclasses.astuple(config.mail) == mail
    assert dataclasses.astuple(config.logs) == ("debug", 1_048_576, 0)
    assert config.security.key == Secret("s3cret")


def test_a_variable_wins_over_the_file_and_the_command_line_over_both(toml, tmp_path):
    source = toml('[web]\nport = 1000\nhost = "file"\n[data]\nfolder = "file"')
    environ = {"SCHEDULER_WEB_PORT": "2000", "SCHEDULER_DATA_FOLDER": str(tmp_path / "variable")}

    config = load(source, tmp_path / "option", environ)

    assert (config.web.port, config.web.host) == (2000, "file")
    assert config.data.folder == tmp_path / "option"


def test_a_list_in_a_variable_is_separated_by_commas(tmp_path):
    config = load(data_folder=tmp_path, environ={"SCHEDULER_WEB_ALLOWED_HOSTS": "a.example, b.example"})
    assert config.web.allowed_hosts == ("a.example", "b.example")


def test_a_variable_of_a_duration_takes_numbers_and_texts(tmp_path):
    environ = {"SCHEDULER_WORKER_LEASE": "12.5", "SCHEDULER_WORKER_STOP_LIMIT": "1h 30m"}
    worker = load(data_folder=tmp_path, environ=environ).worker
    assert (worker.lease, worker.stop_limit) == (12.5, 5400.0)


class TestWhereTheFileIsFound:
    def test_in_the_data_folder_when_one_is_given(self, toml, tmp_path):
        source = toml("[web]\nport = 1234")
        assert load(data_folder=tmp_path, environ={}).web.port == 1234
        assert load(environ={"SCHEDULER_DATA_FOLDER": str(tmp_path)}).source == source

    def test_by_the_variable(self, toml):
        assert load(environ={"SCHEDULER_CONFIG": str(toml("[web]\nport = 1234"))}).web.port == 1234

    def test_in_the_users_configuration_folder_otherwise(self, tmp_path, monkeypatch):
        monkeypatch.setattr("scheduler_app.config._default_config_folder", lambda: tmp_path)
        (tmp_path / "scheduler.toml").write_text("[web]\nport = 1234")
        assert load(environ={}).web.port == 1234

    def test_a_named_file_that_is_missing_is_a_problem(self, tmp_path):
        missing = tmp_path / "none.toml"
        problem = Problem("--config", f"cannot read the configuration file {missing}: No such file or directory")
        assert problems_of(missing) == (problem,)

    def test_a_missing_file_that_a_variable_names_is_a_problem(self, tmp_path):
        (problem,) = problems_of(environ={"SCHEDULER_CONFIG": str(tmp_path / "none.toml")})
        assert problem.where == "SCHEDULER_CONFIG"

    def test_a_byte_order_mark_is_no_error(self, toml):
        assert load(toml("[web]\nport = 1234", encoding="utf-8-sig"), environ={}).web.port == 1234

    def test_a_file_in_another_encoding_is_named(self, toml):
        (problem,) = problems_of(toml("# größer", encoding="latin-1"))
        assert "it is not text in UTF-8" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("\n\n[web]\nport = = 1", 4, "cannot read the configuration: Invalid value;", id="syntax"),
        pytest.param("[web]\nport = 1\nport = 2", 3, "cannot read the configuration: Cannot overwrite", id="twice"),
        pytest.param('[web]\nhost = "x', 2, "cannot read the configuration: Unterminated", id="end of the file"),
        pytest.param("[web]\nport = true", 2, "cannot use web.port = true: not a whole number from 1 to 65535", id="bool"),
        pytest.param('[web]\nport = "80"', 2, "cannot use web.port = '80': not a whole number", id="text for a number"),
        pytest.param("[web]\nport = 0", 2, "cannot use web.port = 0: not a whole number", id="port 0"),
        pytest.param("[web]\nport = 65536", 2, "cannot use web.port = 65536: not a whole number", id="port too high"),
        pytest.param("[web]\nport = 80.0", 2, "cannot use web.port = 80.0: not a whole number", id="decimal"),
        pytest.param("\nweb.port = 0", 2, "cannot use web.port = 0: not a whole number", id="dotted key"),
        pytest.param("\nweb = { port = 0 }", 2, "cannot use web.port = 0: not a whole number", id="inline table"),
        pytest.param('[web]\nhost = " "', 2, "cannot use web.host = ' ': not a text with at least", id="empty host"),
        pytest.param("[web]\nhost = 1", 2, "cannot use web.host = 1: not a text", id="number for a text"),
        pytest.param('[web]\nallowed_hosts = "a"', 2, "cannot use web.allowed_hosts = 'a': not a list", id="no list"),
        pytest.param("[web]\nallowed_hosts = [1]", 2, "cannot use web.allowed_hosts = [1]: not a list", id="list of numbers"),
        pytest.param('[worker]\npool = "thread"', 2, "cannot use worker.pool = 'thread': not one of auto, solo, threads, prefork; did you mean threads?", id="choice"),
        pytest.param("[worker]\nlease = 0", 2, "cannot use worker.lease = 0: not a number of seconds above 0", id="no time"),
        pytest.param("[worker]\nlease = true", 2, "cannot use worker.lease = true: not a number", id="bool for a time"),
        pytest.param("[worker]\nlease = nan", 2, "cannot use worker.lease = nan: not a number", id="nan"),
        pytest.param("[worker]\nlease = inf", 2, "cannot use worker.lease = inf: not a number", id="inf"),
        pytest.param('[worker]\nlease = "5 parsecs"', 2, "cannot use worker.lease = '5 parsecs': not a", id="unit"),
        pytest.param('[worker]\nlease = "-5m"', 2, "cannot use worker.lease = '-5m': not a", id="negative"),
        pytest.param("[worker]\nlease = 1e300", 2, "cannot use worker.lease = 1e+300: longer than 365 days", id="endless"),
        pytest.param('[logs]\nmax_size = "5 m"', 2, "cannot use logs.max_size = '5 m': not a number of bytes", id="size"),
        pytest.param('[general]\ntime_zone = "Europe/Berln"', 2, "cannot use general.time_zone = 'Europe/Berln': not a time zone of the IANA database such as Europe/Berlin; did you mean Europe/Berlin?", id="zone"),
        pytest.param('[general]\ntime_zone = "Europe"', 2, "cannot use general.time_zone = 'Europe': not a time zone", id="half a zone"),
        pytest.param('[general]\ntime_zone = "../etc"', 2, "cannot use general.time_zone = '../etc': not a time zone", id="path as zone"),
        pytest.param('[jobs]\nfolder = "a\\u0000b"', 2, "cannot use jobs.folder = 'a\\x00b': not a path", id="zero"),
        pytest.param('[mail]\nsender = "me"', 2, "cannot use mail.sender = 'me': not an e-mail address", id="sender"),
        pytest.param('[mail]\nhost = "mail.example.org"\nsecurity = "none"\npassword = "x"', 4, 'cannot use mail.password together with mail.security = "none"', id="readable password"),
        pytest.param('[jobs]\nallowed_addresses = ["http://nas/"]', 2, "cannot use jobs.allowed_addresses = ['http://nas/']: 'http://nas/' is not an address such as", id="address"),
        pytest.param("[web]\nprot = 1", 2, "there is no setting web.prot; did you mean web.port?", id="unknown key"),
        pytest.param("[wrker]\npool = 1", 1, "there is no section [wrker]; did you mean worker?", id="unknown section"),
        pytest.param("port = 1", 1, "there is no setting port; did you mean web.port?", id="key without section"),
        pytest.param("[web.port]\nx = 1", 1, "cannot use web.port = {'x': 1}: not a whole number", id="section for a key"),
        pytest.param("web = 1", 1, "cannot use web as a setting: it is a section, write [web]", id="key for a section"),
    ],
)  # fmt: skip
def test_a_problem_in_the_file_names_line_value_and_what_is_allowed(toml, text, line, message):
    source = toml(text)
    (problem,) = problems_of(source)
    assert problem.where == f"{source}, line {line}"
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SCHEDULER_WEB_PORT", "four", "cannot use web.port = 'four': not a whole number from 1 to 65535"),
        ("SCHEDULER_WEB_PORT", "", "cannot use web.port = '': not a whole number from 1 to 65535"),
        ("SCHEDULER_WEB_PORT", "true", "cannot use web.port = 'true': not a whole number from 1 to 65535"),
        ("SCHEDULER_WEB_PROT", "1", "there is no setting for the variable SCHEDULER_WEB_PROT; did you mean SCHEDULER_WEB_PORT?"),
        ("SCHEDULER_WEB_PORT_FILE", "x", "there is no setting for the variable SCHEDULER_WEB_PORT_FILE; did you mean SCHEDULER_WEB_PORT?"),
        ("SCHEDULER_BROKER_URL", "http://x", "cannot use broker.url = ********: begins with http://, not an address that begins with one of amqp://, amqps://, embedded://"),
        ("SCHEDULER_BROKER_URL", "pa55", "cannot use broker.url = ********: not an address that begins with one of amqp://, amqps://, embedded://"),
        ("SCHEDULER_BROKER_URL", "amqp://", "cannot use broker.url = ********: names no host; write amqp://user:password@host:5672/vhost"),
        ("SCHEDULER_BROKER_URL", "amqp://h:99999", "cannot use broker.url = ********: not well-formed; write the port as a number, and / : @ in a password as %2F %3A %40"),
        ("SCHEDULER_DATABASE_URL", "mysql://h/x", "cannot use database.url = ********: begins with mysql://, not an address that begins with one of sqlite://, postgresql://, postgres://"),
        ("SCHEDULER_DATABASE_URL", "sqlite:///relative.db", "cannot use database.url = ********: needs the absolute path of a file; write sqlite:////home/me/scheduler.sqlite3"),
        ("SCHEDULER_DATABASE_URL", "sqlite://:memory:", "cannot use database.url = ********: not well-formed; write the port as a number, and / : @ in a password as %2F %3A %40"),
        ("SCHEDULER_DATABASE_URL", "postgres://host", "cannot use database.url = ********: names no database; write postgresql://user:password@host/name"),
    ],
)  # fmt: skip
def test_a_problem_in_a_variable_names_it(tmp_path, variable, value, message):
    assert problems_of(data_folder=tmp_path, environ={variable: value}) == (Problem(variable, message),)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCHEDULER_BROKER_URL", "amqps://user:p%40ss@host/vhost"),
        ("SCHEDULER_BROKER_URL", "amqp://one:5672//;amqp://two:5672//"),
        ("SCHEDULER_BROKER_URL", "embedded:///var/lib/broker.sqlite3"),
        ("SCHEDULER_DATABASE_URL", "sqlite:////var/lib/x.sqlite3"),
        ("SCHEDULER_DATABASE_URL", "sqlite:///C:/Users/x.sqlite3"),
        ("SCHEDULER_DATABASE_URL", "postgres:///name?host=/run/postgresql"),
    ],
)
def test_addresses_that_are_accepted(tmp_path, variable, value):
    config = load(data_folder=tmp_path, environ={variable: value})
    assert (config.broker.url or config.database.url) == Secret(value)


def test_a_relay_on_this_machine_may_get_its_password_without_tls(toml):
    mail = load(toml('[mail]\nhost = "localhost"\nsecurity = "none"\nuser = "me"\npassword = "x"'), environ={}).mail
    assert (mail.host, mail.security, mail.password) == ("localhost", "none", Secret("x"))


def test_addresses_networks_and_names_may_be_allowed(tmp_path):
    every = (
        "any",
        "192.168.1.5",
        "10.0.0.0/8",
        "nas.local",
        "127.0.0.1:8080",
        "::1",
        "[::1]:80",
        "fd00::/8",
        "my-host",
    )
    assert (
        load(
            data_folder=tmp_path, environ={"SCHEDULER_JOBS_ALLOWED_ADDRESSES": ", ".join(every)}
        ).jobs.allowed_addresses
        == every
    )


def test_all_problems_are_reported_at_once(toml):
    source = toml("[web]\nport = 0\nhots = 1\n[worker]\npool = 1")
    environ = {"SCHEDULER_LOGS_KEEP": "-1", "SCHEDULER_NONSENSE": "1"}

    problems = problems_of(source, environ=environ)

    assert [problem.where.removeprefix(f"{source}, ") for problem in problems] == [
        "line 2",
        "line 3",
        "line 5",
        "SCHEDULER_LOGS_KEEP",
        "SCHEDULER_NONSENSE",
    ]
    assert len(str(ConfigError(problems)).splitlines()) == 5
    assert str(problems[0]) == f"cannot use web.port = 0: not a whole number from 1 to 65535 ({source}, line 2)"


def test_variables_are_checked_although_the_file_cannot_be_read(toml):
    problems = problems_of(toml("["), environ={"SCHEDULER_WEB_PORT": "x"})
    assert [problem.where for problem in problems][1:] == ["SCHEDULER_WEB_PORT"]


def test_variables_of_the_programs_own_children_are_ignored(tmp_path):
    names = ("SERVICE_ID", "RUN_ID", "SCHEDULE", "FIRE_TIME", "ATTEMPT", "TREE")
    environ = {f"SCHEDULER_{name}": "x" for name in names} | {"OTHER": "x", "SCHEDULERX": "y"}
    assert load(data_folder=tmp_path, environ=environ) == Config(data=Data(folder=tmp_path))


@pytest.mark.parametrize(
    ("kind", "url"), [("embedded", "amqp://host"), ("embedded", "embedded:///x"), ("rabbitmq", "embedded:///x")]
)
def test_a_broker_url_that_contradicts_the_kind_is_a_problem(toml, kind, url):
    source = toml(f'[broker]\nkind = "{kind}"')
    (problem,) = problems_of(source, environ={"SCHEDULER_BROKER_URL": url})
    said = f'broker.kind = "{kind}" ({source}, line 2)'
    message = f"cannot use broker.url together with {said}: remove one of them"
    assert problem == Problem("SCHEDULER_BROKER_URL", message)


class TestSecrets:
    def test_are_not_shown_by_the_configuration(self, tmp_path):
        environ = {"SCHEDULER_SECURITY_KEY": "hunter2", "SCHEDULER_BROKER_URL": "amqp://me:hunter2@host"}
        config = load(data_folder=tmp_path, environ=environ)
        key = config.security.key

        shown = f"{config} {config!r} {config.security} {key} {key!r} {key:>30} {masked(config)} {config.origins}"

        assert "hunter2" not in shown
        assert key.reveal() == "hunter2"

    def test_are_not_shown_by_a_problem(self, toml):
        for url in ("me:hunter2@host", "me:hunter2@amqp://host", "amqp://me:hunter2/x@host"):
            (problem,) = problems_of(toml(f'[broker]\nurl = "{url}"'))
            assert "hunter2" not in str(problem)

    def test_come_from_a_file_without_its_last_newline(self, tmp_path):
        file = tmp_path / "key"
        file.write_bytes(b" s3cret \xc3\xa4 \r\n")
        config = load(data_folder=tmp_path, environ={"SCHEDULER_SECURITY_KEY_FILE": str(file)})
        assert config.security.key == Secret(" s3cret ä ")

    def test_file_that_cannot_be_read_is_a_problem(self, tmp_path):
        missing = str(tmp_path / "none")
        (problem,) = problems_of(data_folder=tmp_path, environ={"SCHEDULER_SECURITY_KEY_FILE": missing})
        message = f"cannot read security.key from the file {missing!r}: No such file or directory"
        assert problem == Problem("SCHEDULER_SECURITY_KEY_FILE", message)

    def test_empty_file_is_a_problem(self, tmp_path):
        empty = tmp_path / "empty"
        empty.touch()
        (problem,) = problems_of(data_folder=tmp_path, environ={"SCHEDULER_SECURITY_KEY_FILE": str(empty)})
        assert problem.message == "cannot use security.key = ********: not a text with at least one character"

    def test_variable_and_file_together_are_a_problem(self, tmp_path):
        environ = {"SCHEDULER_SECURITY_KEY_FILE": "x", "SCHEDULER_SECURITY_KEY": "y"}
        (problem,) = problems_of(data_folder=tmp_path, environ=environ)
        assert "SCHEDULER_SECURITY_KEY_FILE and SCHEDULER_SECURITY_KEY together" in problem.message


def test_masked_tells_every_setting_and_where_it_was_set(toml, tmp_path):
    source = toml('[web]\nport = 1234\n[security]\nkey = "x"')
    key_file = tmp_path / "url"
    key_file.write_text("amqp://h")
    config = load(source, environ={"SCHEDULER_LOGS_LEVEL": "error", "SCHEDULER_BROKER_URL_FILE": str(key_file)})

    shown = masked(config)

    assert shown["web.port"] == (1234, f"{source}, line 2")
    assert shown["web.allowed_hosts"] == ([], "default")
    assert shown["security.key"] == ("********", f"{source}, line 4")
    assert shown["logs.level"] == ("error", "SCHEDULER_LOGS_LEVEL")
    assert shown["broker.url"] == ("********", f"SCHEDULER_BROKER_URL_FILE, file {key_file}")
    assert shown["database.url"] == (None, "default")
    assert shown.keys() >= {"data.folder", "worker.pool", "jobs.output_limit", "mail.password"}


class TestAsEnvironment:
    def test_a_child_in_another_folder_loads_the_same_configuration(self, toml, tmp_path, monkeypatch):
        source = toml('[jobs]\noutput_limit = 7\n[data]\nfolder = "unused"')
        (tmp_path / "key").write_text("s3cret")
        monkeypatch.chdir(tmp_path)
        environ = {"SCHEDULER_JOBS_FOLDER": "mine", "SCHEDULER_SECURITY_KEY_FILE": "key", "SCHEDULER_WEB_PORT": "99"}
        config = load(Path(source.name), Path("data"), environ)
        (elsewhere := tmp_path / "elsewhere").mkdir()

        monkeypatch.chdir(elsewhere)
        of_child = load(environ=environ | config.as_environment())

        assert of_child == config
        assert of_child.jobs.folder == tmp_path / "mine"
        assert of_child.security.key == Secret("s3cret")

    def test_a_child_reads_no_file_that_its_parent_did_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr("scheduler_app.config._default_config_folder", lambda: tmp_path / "none")
        monkeypatch.setattr("scheduler_app.config.default_data_folder", lambda: tmp_path)
        config = dataclasses.replace(load(environ={}), data=Data(folder=tmp_path))
        (tmp_path / "scheduler.toml").write_text("[web]\nport = 1")

        of_child = load(environ=config.as_environment())

        assert (of_child.source, of_child.web) == (None, Web())


@pytest.mark.parametrize("module", ["config", "paths", "platforms", "lifeline"])
def test_importing_floor_0_loads_nothing_heavy(module):
    heavy = {"psutil", "platformdirs", "tomllib", "zoneinfo", "difflib", "django", "celery", "pydantic", "socket"}
    script = f"import sys, scheduler_app.{module}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.strip() == ""


def test_a_data_folder_below_a_file_is_not_mistaken_for_a_bad_configuration_file(tmp_path):
    (tmp_path / "file").touch()

    assert load(data_folder=tmp_path / "file" / "data", environ={}).source is None
