"""Work that programs hand over: recorded at once, checked whole, once for a key; and what other Celery clients may ask."""

import dataclasses
import json
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

import jobs
from jobs import catalogue, external, handing_over, vault, wording
from jobs.errors import ParameterError, UnknownJob
from jobs.handing_over import OptionError
from jobs.inbox import Letter
from jobs.messages import MessageError, MessageExpired
from jobs.models import Origin, Run, RunKey
from jobs.once import KeyTakenError
from jobs.registry import Declaration, Job, Registry
from jobs.retention import Limits, Sweep
from jobs.secret_text import SecretText
from jobs.states import State
from tests.factories import NOW

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def pack(folder: str, level: int = 3, delay: int = 0) -> None: ...
def unlock(password: SecretText) -> None: ...
def erase(command: str) -> None: ...


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    def made(function, permission=None):
        return Job(Declaration(function, None, None, "Tests", permission, {}), __file__)

    registry = Registry([made(pack), made(unlock), made(erase, "jobs.run_command")])
    monkeypatch.setattr(catalogue, "registry", lambda: registry)
    return registry


def about(moment, **after):
    return abs(moment - timezone.now() - timedelta(**after)) < timedelta(seconds=30)


def test_what_is_handed_over_is_a_run_that_waits_to_be_sent():
    run = Run.objects.get(pk=jobs.run_now("pack", folder="/tmp", by="ada"))
    assert (run.state, run.origin, run.requested_by) == (State.PENDING, Origin.PYTHON, "ada")
    assert run.parameters == {"folder": "/tmp", "level": 3, "delay": 0}
    assert about(run.dispatch_at)
    assert (run.route, run.expires_at) == (None, None)
    assert wording.started_by(run) == "ada, from Python"


def test_it_says_when_and_where_a_run_starts():
    run_id = jobs.run_now("pack", delay="10m", expires="1h", priority=7, queue="big", folder="/tmp")
    run = Run.objects.get(pk=run_id)
    assert about(run.dispatch_at, minutes=10)
    assert about(run.expires_at, minutes=70)
    assert run.route == {"priority": 7, "queue": "big"}
    at = datetime(2026, 12, 24, 18, tzinfo=UTC)
    wanted = handing_over.order(at=at, expires=at + timedelta(hours=1), keys_of="test")
    assert (wanted.start_at, wanted.expires_at) == (at, at + timedelta(hours=1))


WRONG = {
    "delay": ({"delay": "soon"}, "a duration is needed"),
    "a negative delay": ({"delay": -1}, "cannot be negative"),
    "not a number": ({"delay": float("nan")}, "a duration is needed"),
    "both": ({"delay": 1, "at": NOW}, "at says already"),
    "without a zone": ({"at": datetime(2026, 1, 1)}, "with its offset"),  # noqa: DTZ001
    "far away": ({"at": datetime(9999, 12, 31, 23, tzinfo=UTC)}, "make a schedule of it"),
    "far away, a text": ({"delay": "400d"}, "366d is the longest"),
    "priority": ({"priority": True}, "from 0 to 255"),
    "queue": ({"queue": "amq.x"}, "are taken"),
    "queue of a wrong type": ({"queue": 5}, "a text is needed"),
    "expired before": ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "would have expired"),
    "key": ({"key": "a\0"}, "printable"),
    "long key": ({"key": "a" * 201}, "printable"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_option_that_cannot_be_used_is_named_and_nothing_is_recorded(name):
    options, reason = WRONG[name]
    with pytest.raises(OptionError, match=reason) as refused:
        jobs.run_now("pack", folder="/tmp", **options)
    assert set(refused.value.problems) <= set(options)
    assert Run.objects.count() == 0


def test_options_that_do_not_fit_are_named_all_at_once():
    with pytest.raises(OptionError) as refused:
        jobs.run_now("pack", folder="/tmp", priority=1000, queue="", delay="x")
    assert set(refused.value.problems) == {"priority", "queue", "delay"}


def test_a_job_that_is_not_there_and_parameters_that_do_not_fit_are_refused():
    with pytest.raises(UnknownJob, match="did you mean pack"):
        jobs.run_now("pakc")
    with pytest.raises(ParameterError, match="did you mean level") as refused:
        jobs.run_now("pack", levle=4)
    assert set(refused.value.problems) == {"levle", "folder"}
    assert Run.objects.count() == 0


def test_a_secret_is_handed_over_by_its_name():
    with pytest.raises(ParameterError, match="store it under Secrets"):
        jobs.run_now("unlock", password="letmein")
    with pytest.raises(ParameterError, match="there is no secret 'door'"):
        jobs.run_now("unlock", password={"secret": "door"})
    vault.store("door", "letmein", by="ada")
    run = Run.objects.get(pk=jobs.run_now("unlock", password={"secret": "door"}))
    assert run.parameters == {"password": {"secret": "door"}}


def test_a_second_call_with_a_key_gives_the_same_run():
    first = jobs.run_now("pack", folder="/tmp", key="order 7")
    assert jobs.run_now("pack", folder="/tmp", level=3, key="order 7") == first
    assert jobs.run_now("pack", folder="/tmp", key="order 8") != first
    with pytest.raises(KeyTakenError, match=f"the key 'order 7': run {first} was"):
        jobs.run_now("pack", folder="/var", key="order 7")
    assert Run.objects.count() == 2


def test_of_many_calls_at_once_with_a_key_one_makes_the_run():
    together, found = threading.Barrier(4), []

    def call():
        with closing(connection):
            together.wait()
            found.append(jobs.run_now("pack", folder="/tmp", key="once"))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Run.objects.get().pk] * 4


def test_keys_are_forgotten_as_the_history_is():
    for number, age in enumerate([100, 95, 80]):
        made_at = NOW - timedelta(days=age)
        RunKey.objects.create(key=f"key {number}", digest="", run=1, made_at=made_at)
    for _ in Sweep(Limits(age=timedelta(days=90), runs_per_schedule=10, output=10**6), NOW).steps():
        pass
    assert RunKey.objects.get().key == "key 2"


def letter(task="pack", args=(), kwargs=None, after=None, content="application/json", **headers):
    body = json.dumps([list(args), {"folder": "/tmp"} if kwargs is None else kwargs, after or {}]).encode()
    return Letter(body, (content, "utf-8"), {"task": task, "id": "5e1f", "origin": "7@shop", "lang": "py", **headers})


def take_over(letter, *, queue="scheduler.any", priority=0):
    return external.take_over(letter, queue=queue, priority=priority, now=timezone.now())


def test_another_celery_client_may_start_what_is_named():
    for accepted, name, may in [
        ([], "pack", False),
        (["pack"], "pack", True),
        (["pa*"], "pack", True),
        (["pa*"], "unlock", False),
        (["*"], "erase", False),
        (["erase"], "erase", True),
        (["*"], "scheduler.run", False),
        (["*"], "no.such.task", False),
        (["*"], None, False),
    ]:
        assert external.is_accepted(letter(task=name), accepted) is may, (accepted, name)


def test_what_a_celery_client_asks_for_is_a_run_under_celerys_id():
    eta = timezone.now() + timedelta(minutes=5)
    asked = letter(
        args=["/tmp", 9],
        kwargs={},
        eta=eta.isoformat(),
        expires=(eta + timedelta(hours=1)).isoformat(),
        timelimit=[60, 30],
    )
    made = take_over(asked, queue="big", priority=4)
    assert take_over(asked) == (made.run_id, False)
    run = Run.objects.get()
    assert (run.origin, run.requested_by, run.job) == (Origin.EXTERNAL, "7@shop", "pack")
    assert run.parameters == {"folder": "/tmp", "level": 9, "delay": 0}
    assert (run.dispatch_at, run.expires_at) == (eta, eta + timedelta(hours=1))
    assert (run.route, run.time_limit) == ({"queue": "big", "priority": 4}, timedelta(seconds=30))
    assert RunKey.objects.get().key == "celery:5e1f"


REFUSED = {
    "an unknown parameter": (lambda: letter(kwargs={"folder": "/", "levle": 1}), "did you mean level"),
    "too many": (lambda: letter(args=[1, 2, 3, 4]), "4 arguments, and the job pack has 3"),
    "twice": (lambda: letter(args=["/"]), "two values for folder"),
    "a chain": (lambda: letter(after={"chain": [{"task": "erase"}]}), "called afterwards"),
    "no id": (lambda: letter(id=None), "no id"),
    "an eta that is none": (lambda: letter(eta="soon"), "its header eta"),
    "an eta of the wrong type": (lambda: letter(eta=5), "its header eta"),
    "the end of time": (lambda: letter(eta="9999-12-31T23:59:59-23:00"), "its header eta"),
    "a pickle": (lambda: letter(content="application/x-python-serialize"), "not JSON"),
    "not a number": (lambda: letter(kwargs={"folder": "/", "level": float("nan")}), "NaN is no JSON"),
    "half a character": (lambda: letter(kwargs={"folder": "\ud800"}), "folder"),
    "too large": (lambda: letter(kwargs={"folder": "x" * 2_000_000}), "bytes"),
    "not three parts": (lambda: dataclasses.replace(letter(), body=b"[]"), "cannot be read"),
    "deep": (lambda: dataclasses.replace(letter(), body=b"[" * 100_000), "cannot be read"),
    "delivered again and again": (lambda: letter(**{"x-delivery-count": 50}), "again and again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_for_a_celery_client_is_refused_with_the_reason(name):
    make, reason = REFUSED[name]
    with pytest.raises(MessageError, match=reason):
        take_over(make())
    assert Run.objects.count() == 0


def test_a_celery_clients_message_that_has_expired_is_no_news():
    with pytest.raises(MessageExpired):
        take_over(letter(expires="2020-01-01T00:00:00+00:00"))


def test_an_id_that_comes_with_something_else_is_refused():
    take_over(letter())
    with pytest.raises(MessageError, match="'5e1f'"):
        take_over(letter(kwargs={"folder": "/var"}))
    assert settings.SCHEDULER.celery.accepts == ()  # nothing, unless somebody says so
