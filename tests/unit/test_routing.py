"""What a schedule may ask for and a worker may offer, and how labels become AMQP's bindings."""

import pytest

from scheduler_app import routing
from scheduler_app.config import ConfigError, load
from scheduler_app.embedded_queue import headers_match

LABELS = {"gpu": "yes", "os": "linux", "site": "north"}


@pytest.mark.parametrize(
    ("asked", "gets"),
    [
        pytest.param({"gpu": "yes"}, True, id="one of them"),
        pytest.param({"os": "linux", "site": "north"}, True, id="two of them"),
        pytest.param(LABELS, True, id="all of them"),
        pytest.param({"gpu": "no"}, False, id="another value"),
        pytest.param({"gpu": "yes", "os": "windows"}, False, id="one of them and another"),
        pytest.param({**LABELS, "disk": "big"}, False, id="all of them and one more"),
    ],
)
def test_a_worker_gets_what_asks_for_some_of_its_labels_and_for_no_others(asked, gets):
    message = {**routing.asked(asked), "task": "scheduler.run"}
    hits = [wanted for wanted in routing.offers(LABELS) if headers_match({"x-match": "all", **wanted}, message)]
    assert len(hits) == gets


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('labels = { gpu = "yes", os = "linux" }', ("gpu=yes", "os=linux")),
        ('labels = ["os=linux", "gpu=yes"]', ("gpu=yes", "os=linux")),
        ("labels = { rack = 7 }", ("rack=7",)),
        ("labels = {}", ()),
    ],
)
def test_labels_in_the_file(tmp_path, line, said):
    (tmp_path / "scheduler.toml").write_text(f"[worker]\n{line}\n")
    assert load(data_folder=tmp_path, environ={}).worker.labels == said


def test_a_worker_by_variables(tmp_path):
    variables = {
        "SCHEDULER_WORKER_QUEUES": "reports, gpu",
        "SCHEDULER_WORKER_TOPICS": "eu.#",
        "SCHEDULER_WORKER_LABELS": "os=linux,gpu=yes",
    }
    worker = load(data_folder=tmp_path, environ=variables).worker
    assert (worker.queues, worker.topics, worker.labels) == (("reports", "gpu"), ("eu.#",), ("gpu=yes", "os=linux"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('queues = "reports"', "not a list of texts"),
        ('queues = ["scheduler.any"]', "names that begin with amq. or scheduler. are taken"),
        ('queues = ["a b"]', "'a b' is not a name of letters"),
        ('topics = ["eu..x"]', "'eu..x' is not words between dots"),
        ('topics = ["eu#"]', "'eu#' is not words between dots"),
        ('labels = ["gpu"]', "'gpu' is not a label such as gpu=yes"),
        ('labels = ["a=1", "a=2"]', "the label a is there twice"),
        ('labels = ["a=1", "b=1", "c=1", "d=1", "e=1", "f=1", "g=1"]', "7 labels are more than the 6"),
        ('machine = "a b"', "not a name of letters"),
    ],
)
def test_what_a_worker_cannot_offer_is_refused_with_the_reason(tmp_path, line, says):
    (tmp_path / "scheduler.toml").write_text(f"[worker]\n{line}\n")
    with pytest.raises(ConfigError) as refused:
        load(data_folder=tmp_path, environ={})
    assert says in str(refused.value)
