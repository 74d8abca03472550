"""The key of the secrets: where it is kept, and that looking for it never keeps anybody waiting."""

import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from scheduler_app import secrets_key
from scheduler_app.config import Config, ConfigError, Data, Security, load
from scheduler_app.paths import Paths
from scheduler_app.platforms import key_ring
from scheduler_app.secrets_key import KeyUnavailableError, find, find_or_make
from scheduler_app.setting_kinds import Secret

LONG = "a text of more than thirty-two characters"


@pytest.fixture(autouse=True)
def no_desktop(monkeypatch):
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)


def installation(folder, **security):
    config = Config(data=Data(folder), security=Security(**security))
    return config, Paths.of(config)


@pytest.fixture
def keyring(monkeypatch):
    """A keyring of the system, as far as its process is concerned: a dictionary."""
    entries = {}
    monkeypatch.setattr(key_ring, "get", entries.get)
    monkeypatch.setattr(key_ring, "put", entries.__setitem__)
    secrets_key._from_keyring.cache_clear()
    yield entries
    secrets_key._from_keyring.cache_clear()


def test_there_is_no_key_until_one_is_needed(tmp_path):
    assert find(*installation(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_without_a_desktop_the_key_is_in_a_file_and_stays_the_same(tmp_path):
    made = find_or_make(*installation(tmp_path))

    assert made.place == "file"
    assert find(*installation(tmp_path)) == made
    assert find_or_make(*installation(tmp_path)) == made
    assert (tmp_path / "secrets.key").stat().st_mode & 0o077 == 0


def test_processes_that_make_it_at_the_same_time_get_the_same_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: find_or_make(*installation(tmp_path)), range(8)))

    assert len({key.raw for key in keys}) == 1


def test_a_keyring_that_can_be_used_holds_the_key_and_the_file_only_its_name(tmp_path, keyring):
    made = find_or_make(*installation(tmp_path))

    assert made.place == "keyring"
    assert (tmp_path / "secrets.key").read_text() == f"keyring {made.id}\n"
    assert list(keyring) == [made.id]


def test_a_key_that_the_keyring_has_lost_is_said_and_not_replaced(tmp_path, keyring):
    find_or_make(*installation(tmp_path))
    keyring.clear()
    secrets_key._from_keyring.cache_clear()

    for ask in (find, find_or_make):
        with pytest.raises(KeyUnavailableError, match="cannot find the key of the secrets in the system's keyring"):
            ask(*installation(tmp_path))


def test_the_configuration_can_keep_the_key_out_of_the_keyring(tmp_path, keyring):
    assert find_or_make(*installation(tmp_path, key_store="file")).place == "file"
    assert keyring == {}


def test_a_configured_key_is_the_same_on_every_machine(tmp_path):
    keys = {find(*installation(tmp_path / name, secrets_key=Secret(LONG))).raw for name in ("one", "two")}

    assert len(keys) == 1
    assert find(*installation(tmp_path, secrets_key=Secret(f"{LONG}!"))).raw not in keys


def test_a_short_configured_key_is_refused():
    with pytest.raises(ConfigError, match="shorter than 32 characters"):
        load(environ={"SCHEDULER_SECURITY_SECRETS_KEY": "hunter2"})


def test_a_damaged_key_file_is_said(tmp_path):
    (tmp_path / "secrets.key").write_text("file abc")
    with pytest.raises(KeyUnavailableError, match="damaged"):
        find(*installation(tmp_path))


def let_in_and_say_nothing_more(listener):
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
        while connection.recv(1000):  # until it is given up
            pass


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these have a store of their own, and no D-Bus")
def test_a_desktop_that_does_not_answer_is_given_up_and_the_key_goes_into_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(key_ring, "LIMIT", 2.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen()
        threading.Thread(target=let_in_and_say_nothing_more, args=(silent,), daemon=True).start()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
        began = time.monotonic()
        made = find_or_make(*installation(tmp_path))

    assert made.place == "file"
    assert time.monotonic() - began < 15
