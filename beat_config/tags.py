"""Tags: words of a person's own by which schedules are found together, however they are typed."""

from collections.abc import Iterable, Sequence

from django.db import transaction
from django_celery_beat.models import PeriodicTask

from beat_config.models import SchedulePolicy, Tag

LONGEST = 50
MOST = 20
OFFERED = 500


class TagError(ValueError):
    """Names that cannot be tags; the message says which and why."""


def parse(text: str) -> list[str]:
    """Return the names in *text*, which commas separate; raise TagError as `checked` does."""
    return checked(text.split(","))


def checked(names: Iterable[str]) -> list[str]:
    """Return *names* in order, each once, spaces and capitals aside; raise TagError for what cannot be one."""
    found: dict[str, str] = {}
    for name in names:
        word = " ".join(name.split())
        if "," in word or not word.isprintable():
            raise TagError(f"cannot use {word!r} as a tag: it holds a comma or a character that cannot be seen")
        if len(word) > LONGEST:
            raise TagError(f"cannot use {word!r} as a tag: it is longer than {LONGEST} characters")
        if word:
            found.setdefault(word.casefold(), word)
    if len(found) > MOST:
        raise TagError(f"cannot use {len(found)} tags: a schedule has {MOST} at most")
    return sorted(found.values(), key=str.casefold)


def tags_of(schedule: PeriodicTask) -> list[str]:
    """Return the names of the schedule's tags, in order."""
    return sorted(Tag.objects.filter(policies=schedule.pk).values_list("name", flat=True), key=str.casefold)


def set_tags(schedule: PeriodicTask, names: Iterable[str]) -> None:
    """Give the schedule, which is stored, these tags and no others; raise TagError as `checked` does."""
    with transaction.atomic():
        SchedulePolicy.objects.get(pk=schedule.pk).tags.set(_made(checked(names)))


def add_tags(schedules: Sequence[int], names: Iterable[str]) -> None:
    """Give each of the *schedules* these tags, beside those it has; raise TagError as `checked` does."""
    through = SchedulePolicy.tags.through.objects
    with transaction.atomic():
        for tag in _made(checked(names)):
            rows = [through.model(schedulepolicy_id=schedule, tag_id=tag.pk) for schedule in schedules]
            through.bulk_create(rows, ignore_conflicts=True, batch_size=1000)


def remove_tags(schedules: Sequence[int], names: Iterable[str]) -> None:
    """Take these tags from each of the *schedules*; raise TagError as `checked` does."""
    known = [tag.pk for tag in _known(checked(names)).values()]
    SchedulePolicy.tags.through.objects.filter(schedulepolicy__in=schedules, tag__in=known).delete()


def offered() -> list[str]:
    """Return the tags that some schedule has, in order; of very many, the first ones."""
    return list(Tag.objects.filter(policies__isnull=False).distinct().values_list("name", flat=True)[:OFFERED])


def named(names: Iterable[str]) -> list[Tag]:
    """Return the tags of these names, made where nobody has used them yet; raise TagError as `checked` does."""
    return _made(checked(names))


def _made(names: Sequence[str]) -> list[Tag]:
    """Return the tags of these names, which have been checked; those that nobody has used yet are made."""
    known = _known(names)
    missing = [Tag(name=name) for name in names if name.casefold() not in known]
    Tag.objects.bulk_create(missing, ignore_conflicts=True)  # somebody else may make one in this instant
    return list(_known(names).values())


def _known(names: Sequence[str]) -> dict[str, Tag]:
    """Return the tags of these names by their folded names: capitals make no other tag."""
    wanted = {name.casefold() for name in names}
    # Databases fold capitals each in its own way, and there are few tags.
    return {tag.name.casefold(): tag for tag in Tag.objects.all() if tag.name.casefold() in wanted}
