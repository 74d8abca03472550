"""Tags: words by which schedules are found together."""

import pytest
from django.contrib.auth.models import User

from beat_config import tags
from beat_config.models import Tag
from tests.database.test_admin import ADD, LIST, errors, form
from tests.factories import make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def test_tags_are_typed_in_the_form_stored_once_and_shown_again(admin):
    admin.post(ADD, form(tags="nightly,  Back  up , NIGHTLY,"))
    admin.post(ADD, form(name="other", tags="back up"))

    assert sorted(Tag.objects.values_list("name", flat=True)) == ["Back up", "nightly"]
    first, second = (policy.schedule for policy in Tag.objects.get(name="Back up").policies.order_by("pk"))
    assert (tags.tags_of(first), tags.tags_of(second)) == (["Back up", "nightly"], ["Back up"])
    shown = admin.get(f"{LIST}{first.pk}/change/").content.decode()
    assert 'value="Back up, nightly"' in shown
    assert '<option value="nightly"></option>' in shown


def test_leaving_the_tags_empty_takes_them_away(admin):
    policy = make_schedule(name="mine")
    tags.set_tags(policy.schedule, ["nightly"])

    admin.post(f"{LIST}{policy.pk}/change/", form())

    assert tags.tags_of(policy.schedule) == []
    assert tags.offered() == []


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        pytest.param("x" * 51, "longer than 50", id="too long"),
        pytest.param("a\x07b", "cannot be seen", id="a control character"),
        pytest.param(",".join(f"t{number}" for number in range(21)), "20 at most", id="too many"),
    ],
)
def test_what_cannot_be_a_tag_is_refused_at_its_field(admin, typed, says):
    assert says in errors(admin.post(ADD, form(tags=typed)))["tags"][0]


def test_tags_are_added_to_and_taken_from_many_at_once_beside_those_there_are():
    first, second = make_schedule(), make_schedule()
    tags.set_tags(first.schedule, ["disk"])

    tags.add_tags([first.pk, second.pk], ["Nightly", "disk"])
    tags.remove_tags([first.pk, second.pk], ["nightly", "unknown"])
    tags.add_tags([second.pk], ["disk"])

    assert tags.tags_of(first.schedule) == tags.tags_of(second.schedule) == ["disk"]
    assert Tag.objects.count() == 2


def test_a_schedule_with_tags_can_be_deleted():
    policy = make_schedule()
    tags.set_tags(policy.schedule, ["disk"])

    policy.schedule.delete()

    assert list(Tag.objects.get().policies.all()) == []
