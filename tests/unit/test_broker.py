"""The choice of a broker, and the private node's credentials."""

import json
import socket
import stat
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from scheduler_app import broker, config, platforms
from scheduler_app.broker import BrokerError, NodeCredentials, choose, node_credentials, node_credentials_with_free_port
from scheduler_app.embedded_transport import file_of
from scheduler_app.paths import Paths

INSTALLATION = platforms.RabbitMQInstallation(erl=Path("/usr/bin/erl"), home=Path("/opt/rabbitmq"), version=(3, 13, 7))


@pytest.fixture
def paths(tmp_path):
    return Paths(data=tmp_path / "data folder; ünï", jobs=tmp_path / "jobs")


def configured(paths, **variables):
    environ = {f"SCHEDULER_BROKER_{name.upper()}": value for name, value in variables.items()}
    return config.load(data_folder=paths.data, environ=environ)


def with_rabbitmq(monkeypatch, installation):
    monkeypatch.setattr(platforms, "find_rabbitmq", lambda: installation)


def test_a_configured_address_wins_over_an_installed_rabbitmq(paths, monkeypatch):
    with_rabbitmq(monkeypatch, INSTALLATION)
    choice = choose(configured(paths, url="amqp://me:secret@broker.example/jobs"), paths)
    assert (choice.kind, choice.url.reveal()) == ("configured", "amqp://me:secret@broker.example/jobs")
    assert "SCHEDULER_BROKER_URL" in choice.reason
    assert "secret" not in f"{choice} {choice!r}"
    assert not paths.rabbitmq.exists()


def test_an_installed_rabbitmq_becomes_a_private_node(paths, monkeypatch):
    with_rabbitmq(monkeypatch, INSTALLATION)
    choice = choose(configured(paths), paths)
    assert choice.kind == "private"
    assert choice.reason == f"RabbitMQ 3.13.7 is installed on this machine ({Path('/opt/rabbitmq')})"
    assert choice.url.reveal() == node_credentials(paths).url().reveal()
    assert choice == choose(configured(paths), paths)


def test_without_rabbitmq_the_embedded_broker_is_used(paths, monkeypatch):
    with_rabbitmq(monkeypatch, None)
    choice = choose(configured(paths), paths)
    assert (choice.kind, choice.reason) == ("embedded", "RabbitMQ is not installed on this machine")


def test_a_rabbitmq_that_is_too_old_is_refused_with_the_reason(paths, monkeypatch):
    with_rabbitmq(monkeypatch, INSTALLATION._replace(version=(3, 8, 2)))
    choice = choose(configured(paths), paths)
    too_old = f"RabbitMQ 3.8.2 ({Path('/opt/rabbitmq')}) is too old: upgrade it, 3.10 to 4.x is supported"
    assert (choice.kind, choice.reason) == ("embedded", too_old)
    with pytest.raises(BrokerError, match=r"cannot use broker\.kind = 'rabbitmq'.*is too old: upgrade it") as caught:
        choose(configured(paths, kind="rabbitmq"), paths)
    assert platforms.rabbitmq_install_hint() not in str(caught.value)


def test_the_embedded_broker_can_be_forced(paths, monkeypatch):
    with_rabbitmq(monkeypatch, INSTALLATION)
    assert choose(configured(paths, kind="embedded"), paths).kind == "embedded"


def test_the_embedded_address_leads_back_to_the_file_whatever_its_name(paths):
    url = broker.embedded_url(paths).reveal()
    assert ";" not in url  # for kombu it separates two addresses
    assert file_of(url) == paths.embedded_broker


def test_rabbitmq_that_is_asked_for_and_missing_is_an_error_that_says_how_to_get_it(paths, monkeypatch):
    with_rabbitmq(monkeypatch, None)
    with pytest.raises(BrokerError, match=r"broker\.kind = 'rabbitmq'.*not installed") as caught:
        choose(configured(paths, kind="rabbitmq"), paths)
    assert platforms.rabbitmq_install_hint() in str(caught.value)


def test_credentials_are_escaped_in_the_address():
    credentials = NodeCredentials(port=5672, user="a b", password="p@:/?#%ß", vhost="v/h", cookie="c")
    parts = urlsplit(credentials.url().reveal())
    assert (parts.hostname, parts.port) == ("127.0.0.1", 5672)
    assert [unquote(part) for part in (parts.username, parts.password, parts.path[1:])] == ["a b", "p@:/?#%ß", "v/h"]


def test_credentials_are_made_once_and_only_their_owner_reads_them(paths):
    first = node_credentials(paths)
    assert first == node_credentials(paths)
    assert len(first.password) >= 32
    assert first.user != "guest"
    assert stat.S_IMODE((paths.rabbitmq / "node.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.rabbitmq.stat().st_mode) == 0o700


def test_credentials_do_not_show_in_a_log(paths):
    credentials = node_credentials(paths)
    assert credentials.password not in repr(credentials)
    assert credentials.cookie not in str(credentials)


def test_all_that_ask_for_the_first_time_at_once_get_the_same_credentials(paths):
    together, found = threading.Barrier(8), []

    def ask():
        together.wait()
        found.append(node_credentials(paths))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_node_keeps_its_port_while_it_is_free(paths):
    assert node_credentials(paths) == node_credentials_with_free_port(paths)


def test_a_port_that_somebody_else_listens_on_is_given_up_for_another(paths):
    before = node_credentials(paths)
    with socket.create_server(("127.0.0.1", before.port)):
        after = node_credentials_with_free_port(paths)
    assert after.port != before.port
    assert after == replace(before, port=after.port) == node_credentials(paths)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        json.dumps({"port": 1}),
        json.dumps(dict.fromkeys(("port", "user", "password", "vhost", "cookie"))),
    ],
    ids=["empty", "half", "a list", "fields missing", "fields empty"],
)
def test_a_broken_credentials_file_is_replaced(paths, content):
    paths.rabbitmq.mkdir(parents=True)
    (paths.rabbitmq / "node.json").write_text(content)
    credentials = node_credentials(paths)
    assert credentials.password
    assert credentials == node_credentials(paths)
