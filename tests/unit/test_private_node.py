"""What a private node prepares before it starts; the node itself is started in tests/integration."""

from pathlib import Path

import pytest

from scheduler_app import platforms
from scheduler_app.broker import node_credentials
from scheduler_app.broker_store import store_of, stores_set_aside
from scheduler_app.paths import Paths
from scheduler_app.supervisor.rabbitmq import PrivateNode

INSTALLATION = platforms.RabbitMQInstallation(erl=Path("/usr/bin/erl"), home=Path("/opt/rabbitmq"), version=(3, 13, 7))


@pytest.fixture
def make(tmp_path):
    """Return how to make the node of one data folder, as each start of the program does; it has a store."""
    paths = Paths(data=tmp_path, jobs=tmp_path / "jobs")
    store_of(paths, node_credentials(paths).user).mkdir(parents=True)
    return lambda: PrivateNode(INSTALLATION, paths)


def test_a_store_is_set_aside_before_the_third_start_when_two_led_to_nothing(make):
    node = make()
    for _ in range(2):
        node.write_configuration()
        assert stores_set_aside(node.paths) == []
    node.write_configuration()
    assert len(stores_set_aside(node.paths)) == 1


def test_starts_that_a_person_ended_say_nothing_about_the_store(make):
    for _ in range(4):
        node = make()
        node.write_configuration()
    assert stores_set_aside(node.paths) == []


def test_a_store_that_was_given_up_is_set_aside_by_the_next_start_of_the_program(make):
    make().distrust_store()
    node = make()
    node.write_configuration()
    assert len(stores_set_aside(node.paths)) == 1
    store_of(node.paths, node_credentials(node.paths).user).mkdir(parents=True)
    make().write_configuration()
    assert len(stores_set_aside(node.paths)) == 1
