"""The list of schedules: what it shows and finds, and what is done from it."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, schedule_list, tags
from beat_config.models import Chain, DeletedSchedule, SchedulePolicy
from beat_config.schedule_list import Asked
from jobs import recent
from jobs.models import AuditEntry, Run
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LIST = "/admin/beat_config/schedule/"
DELETED = f"{LIST}deleted/"


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def person(client, *permissions):
    user = User.objects.create_user("paul", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def listed(client, query=""):
    return [row.schedule.name for row in client.get(f"{LIST}{query}").context["rows"]]


def ran(policy, *states, took=timedelta(seconds=2)):
    for state in states:
        run = make_run(schedule_id=policy.pk, state=state, exclusive_key=None)
        Run.objects.filter(pk=run.pk).exclude(state__in=[State.SKIPPED, State.MISSED]).update(started_at=NOW - took)


def press(client, address=LIST, **sent):
    return client.post(address, sent, follow=True).content.decode()


def test_a_row_says_when_it_runs_how_it_went_and_how_long_it_takes(admin):
    policy = make_schedule(name="back up", every=timedelta(minutes=10), due=timezone.now() + timedelta(minutes=5))
    tags.set_tags(policy.schedule, ["nightly"])
    ran(policy, State.SUCCEEDED, State.SUCCEEDED, State.SUCCEEDED, State.SKIPPED)
    ran(policy, State.FAILED, took=timedelta(minutes=1))

    page = admin.get(LIST).content.decode()

    assert "Every 10 minutes" in page
    assert f'data-until="{int(SchedulePolicy.objects.get().next_fire_at.timestamp())}"' in page
    assert re.findall(r"outcome outcome-(\w+)\" title", page)[:5] == [*["succeeded"] * 3, "skipped", "failed"]
    assert "Last 5 runs: 3 succeeded, 1 failed, 1 skipped." in page
    assert 'title="Much longer than usual">1 min 0 s</span> <small>(2.00 s)</small>' in page
    assert 'href="/admin/beat_config/schedule/?tag=nightly"' in page


def test_only_the_newest_twenty_runs_make_the_strip_and_every_machines_run_is_one(admin):
    policy = make_schedule()
    ran(policy, State.FAILED, *[State.SUCCEEDED] * 20)
    whole = make_run(schedule_id=policy.pk, state=State.SUCCEEDED, machine="*", exclusive_key=None)
    make_run(schedule_id=policy.pk, state=State.FAILED, machine="a", part_of=whole.pk, exclusive_key=None)

    found = recent.of_schedules([policy.pk])[policy.pk]

    assert [run.state for run in found] == [State.SUCCEEDED] * 20
    assert found[-1].pk == whole.pk


def test_a_page_asks_the_database_as_often_whatever_the_number_of_its_rows(admin):
    for _ in range(3):
        ran(make_schedule(), State.SUCCEEDED)
    with CaptureQueriesContext(connection) as few:
        admin.get(LIST)
    for _ in range(20):
        ran(make_schedule(), State.SUCCEEDED)

    with CaptureQueriesContext(connection) as many:
        admin.get(LIST)

    assert len(many) <= len(few)
    assert sum("UNION ALL" in query["sql"] for query in many) == 1


def test_schedules_are_found_by_each_filter(admin):
    now = timezone.now()
    well = make_schedule(name="well", due=now + timedelta(hours=1))
    ran(well, State.FAILED, State.SUCCEEDED, State.SKIPPED)
    failing = make_schedule(name="failing", due=now + timedelta(hours=1), description="the photos")
    ran(failing, State.SUCCEEDED, State.TIMED_OUT, State.MISSED)
    make_schedule(name="off", enabled=False, due=None)
    make_schedule(name="late", due=now - timedelta(minutes=2))
    make_schedule(name="broken", due=now - timedelta(hours=1), policy={"error": "no"})
    SchedulePolicy.objects.filter(schedule__name="broken").update(error="cannot")
    running = make_schedule(name="running", due=now + timedelta(hours=2), task="call_web_address")
    make_run(schedule_id=running.pk, state=State.RUNNING)
    tags.set_tags(running.schedule, ["web"])

    found = {state: listed(admin, f"?state={state}") for state in schedule_list.STATES}

    assert found == {
        "enabled": ["broken", "failing", "late", "running", "well"],
        "disabled": ["off"],
        "running": ["running"],
        "failing": ["failing"],
        "late": ["late"],
        "broken": ["broken"],
    }
    assert listed(admin, "?q=the+PHOTOS") == ["failing"]
    assert listed(admin, "?tag=web") == listed(admin, "?job=call_web_address") == ["running"]
    assert listed(admin, "?sort=failing")[:2] == ["failing", "broken"]
    assert listed(admin, "?q=nothing") == []


def test_pages_follow_one_another_through_both_parts_of_an_order(monkeypatch):
    monkeypatch.setattr(schedule_list, "ON_A_PAGE", 2)
    names = {make_schedule(name=name, due=NOW).pk: name for name in "abcde"}
    for pk, name in names.items():
        if name in "de":
            ran(SchedulePolicy.objects.get(pk=pk), State.FAILED)

    def pages(sort):
        return [
            "".join(names[pk] for pk in schedule_list.page_of(Asked(sort=sort, page=number), NOW).ids)
            for number in (1, 2, 3, 4)
        ]

    assert pages("failing") == ["de", "ab", "c", "c"]
    assert pages("name") == ["ab", "cd", "e", "e"]
    SchedulePolicy.objects.filter(pk__in=[pk for pk, name in names.items() if name in "abc"]).update(look_at=None)
    assert pages("next") == ["de", "ab", "c", "c"]


def test_the_switch_of_a_row_is_undone_by_one_click(admin):
    policy = make_schedule(name="mine")

    page = press(admin, one=f"disable {policy.pk}")
    assert "“mine” is disabled." in page
    assert not PeriodicTask.objects.get().enabled
    page = press(admin, undo="1")

    assert "“mine” is enabled." in page
    assert PeriodicTask.objects.get().enabled
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == ["disabled", "enabled"]


def test_undo_touches_only_what_the_action_has_changed(admin):
    on, off = make_schedule(), make_schedule(enabled=False)

    press(admin, action="disable", _selected_action=[on.pk, off.pk])
    press(admin, undo="1")

    assert dict(PeriodicTask.objects.values_list("pk", "enabled")) == {on.pk: True, off.pk: False}


def test_tags_are_added_and_removed_in_bulk_and_that_is_undone(admin):
    first, second = make_schedule(), make_schedule()
    tags.set_tags(first.schedule, ["disk"])

    press(admin, action="tag", tags="disk", _selected_action=[first.pk, second.pk])
    assert tags.tags_of(second.schedule) == ["disk"]
    press(admin, undo="1")
    assert (tags.tags_of(first.schedule), tags.tags_of(second.schedule)) == (["disk"], [])

    press(admin, action="untag", tags="disk", _selected_action=[first.pk, second.pk])
    press(admin, undo="1")
    assert (tags.tags_of(first.schedule), tags.tags_of(second.schedule)) == (["disk"], [])
    assert "type one or more first" in press(admin, action="tag", _selected_action=[first.pk])


def test_everything_that_a_filter_leaves_is_acted_on_and_nothing_else(admin):
    for name in ("a one", "a two", "b"):
        make_schedule(name=name)

    press(admin, f"{LIST}?q=a", action="disable", select_across="1")

    assert list(PeriodicTask.objects.filter(enabled=True).values_list("name", flat=True)) == ["b"]


def test_what_was_deleted_comes_back_as_it_was_with_number_history_tags_and_chains(admin):
    policy = make_task(name="mine", cron="30 2 * * *").policy
    SchedulePolicy.objects.filter(pk=policy.pk).update(overlap="queue", expression="0 30 2 L * *")
    adoption.adopt([policy.pk], timezone.now())
    before, after = make_schedule(name="before"), make_schedule(name="after")
    Chain.objects.create(leader_id=before.pk, when="success", follower_id=policy.pk)
    Chain.objects.create(leader_id=policy.pk, when="failure", follower_id=after.pk)
    tags.set_tags(policy.schedule, ["disk"])
    run = make_run(schedule_id=policy.pk, state=State.SUCCEEDED)
    columns = SchedulePolicy.objects.filter(pk=policy.pk).values()
    kept = columns.get()

    page = press(admin, action="delete", _selected_action=[policy.pk])
    assert "“mine” is deleted." in page
    assert not PeriodicTask.objects.filter(name="mine").exists()
    assert "mine" in admin.get(DELETED).content.decode()
    page = press(admin, undo="1")

    assert "“mine” is restored." in page
    assert columns.get() == kept
    assert Run.objects.get(pk=run.pk).schedule.name == "mine"
    assert tags.tags_of(policy.schedule) == ["disk"]
    assert sorted(Chain.objects.values_list("leader__name", "when", "follower__name")) == [
        ("before", "success", "mine"),
        ("mine", "failure", "after"),
    ]
    assert not DeletedSchedule.objects.exists()
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == ["deleted", "added"]


def test_a_deletion_from_the_schedules_own_page_can_be_undone_too(admin):
    policy = make_schedule(name="mine")

    admin.post(f"{LIST}{policy.pk}/delete/", {"post": "yes"})
    assert not PeriodicTask.objects.exists()
    press(admin, undo="1")

    assert PeriodicTask.objects.get().pk == policy.pk
    assert AuditEntry.objects.filter(action="deleted").count() == 1


def test_a_restored_schedule_runs_nothing_that_came_due_meanwhile(admin):
    policy = make_schedule(name="mine", every=timedelta(minutes=1), due=timezone.now() + timedelta(milliseconds=1))
    press(admin, action="delete", _selected_action=[policy.pk])
    make_schedule(name="mine")

    record = DeletedSchedule.objects.get()
    press(admin, DELETED, action="restore", _selected_action=record.pk)

    restored = SchedulePolicy.objects.select_related("schedule").get(pk=policy.pk)
    assert restored.schedule.name == "mine (2)"
    assert restored.next_fire_at > timezone.now() + timedelta(seconds=50)
    assert not Run.objects.exists()


def test_what_was_deleted_long_ago_is_not_kept(admin):
    first, second = make_schedule(), make_schedule()
    press(admin, action="delete", _selected_action=[first.pk])
    DeletedSchedule.objects.update(deleted_at=timezone.now() - timedelta(days=31))

    old = DeletedSchedule.objects.get().pk
    assert "Nothing was deleted lately" in admin.get(DELETED).content.decode()
    assert "cannot restore it" in press(admin, DELETED, action="restore", _selected_action=old)
    press(admin, action="delete", _selected_action=[second.pk])

    assert list(DeletedSchedule.objects.values_list("schedule_id", flat=True)) == [second.pk]


def test_a_copy_is_disabled_and_has_a_name_of_its_own(admin):
    policy = make_schedule(name="mine", cron="30 2 * * *", kwargs={"command": "echo hi"}, policy={"overlap": "queue"})

    answer = admin.post(LIST, {"one": f"duplicate {policy.pk}"})
    press(admin, one=f"duplicate {policy.pk}")

    copy, second = PeriodicTask.objects.exclude(pk=policy.pk).select_related("policy").order_by("pk")
    assert answer["Location"] == f"{LIST}{copy.pk}/change/"
    assert (copy.name, second.name) == ("mine (copy)", "mine (copy) (2)")
    assert (copy.enabled, copy.kwargs, copy.crontab_id) == (False, policy.schedule.kwargs, policy.schedule.crontab_id)
    assert (copy.policy.overlap, copy.policy.next_fire_at) == ("queue", None)


BUTTONS = {"run_now", "enable", "disable", "tag", "delete", "duplicate", "restore"}


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        pytest.param(["view_schedule"], set(), id="viewer"),
        pytest.param(["view_schedule", "run_schedule"], {"run_now"}, id="operator"),
        pytest.param(["view_schedule", "change_schedule"], {"enable", "disable", "tag"}, id="may change"),
        pytest.param(["view_schedule", "delete_schedule"], {"delete"}, id="may delete"),
        pytest.param(["view_schedule", "add_schedule"], {"duplicate", "restore"}, id="may add"),
    ],
)
def test_a_person_sees_the_buttons_that_work_and_the_others_are_refused(client, permissions, may):
    policy = make_schedule(task="check_disk_space", kwargs={})
    SchedulePolicy.objects.update(next_fire_at=None)
    record = DeletedSchedule.objects.create(
        schedule_id=99, name="gone", rows={"task": {"fields": {"task": "check_disk_space"}}}, deleted_at=timezone.now()
    )
    person(client, *permissions)

    page = client.get(LIST).content.decode()
    shown = {name for name in BUTTONS if f'value="{name}"' in page or f'value="{name} {policy.pk}"' in page}
    assert shown == may - {"restore"}  # which has a page of its own
    for name in BUTTONS - may:
        chosen = record.pk if name == "restore" else policy.pk
        assert client.post(LIST, {"action": name, "tags": "x", "_selected_action": chosen}).status_code == 403


def test_a_command_is_neither_enabled_nor_started_nor_copied_without_its_permission_but_disabled(client):
    policy = make_schedule()
    person(client, "view_schedule", "change_schedule", "add_schedule", "run_schedule")

    press(client, one=f"disable {policy.pk}")

    assert not PeriodicTask.objects.get().enabled
    for name in ("enable", "run_now", "duplicate"):
        assert client.post(LIST, {"one": f"{name} {policy.pk}"}).status_code == 403
        assert f'value="{name} {policy.pk}"' not in client.get(LIST).content.decode()


def test_undo_is_offered_only_to_those_who_may_do_it(client):
    first, second = make_schedule(), make_schedule()
    person(client, "view_schedule", "change_schedule", "delete_schedule")

    assert 'name="undo"' not in press(client, one=f"disable {first.pk}")
    assert 'name="undo"' not in press(client, action="delete", _selected_action=second.pk)


@pytest.mark.parametrize("query", ["?page=0", "?page=zz", "?page=99999999999", "?state=x&sort=y", "?q=%00&tag=%00"])
def test_an_address_that_makes_no_sense_shows_the_list(admin, query):
    make_schedule(name="mine")

    assert admin.get(f"{LIST}{query}").status_code == 200


def test_the_live_part_gives_the_rows_that_are_asked_for_and_those_that_are_gone_are_left_out(admin):
    policy = make_schedule(name="mine")

    answer = admin.get(f"{LIST}live/?id={policy.pk}&id=12345&id=x").content.decode()

    assert re.findall(r'data-id="(\d+)"', answer) == [str(policy.pk)]
    first = re.search(r'data-version="(\w+)"', answer)[1]
    ran(policy, State.FAILED)
    answer = admin.get(f"{LIST}live/?id={policy.pk}").content.decode()
    assert re.search(r'data-version="(\w+)"', answer)[1] != first


def test_an_empty_list_says_what_a_schedule_is_for(admin):
    assert "What should run by itself?" in admin.get(LIST).content.decode()
    make_schedule()
    assert "No schedule fits" in admin.get(f"{LIST}?q=nothing").content.decode()
