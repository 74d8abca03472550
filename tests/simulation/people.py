"""What people do to schedules: through the admin (a save, with its signals) and behind its back (update())."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from beat_config import adoption, models
from beat_config.models import SchedulePolicy
from beat_config.schedules import exclusive_key
from jobs import starting
from tests.simulation.model import BROKEN_LINE, Blackout

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CRON = (
    ("*/5 * * * *", "UTC"),
    # More often than the others: in the world's gap.
    *(3 * [("30 2 * * *", "Europe/Berlin"), ("15 1,2,3 * * *", "Europe/Berlin")]),
    ("0 */2 * * *", "Europe/Berlin"),
    ("0 * * * *", "Australia/Lord_Howe"),
    ("15,45 1 * * *", "Australia/Lord_Howe"),
    ("*/30 1-2 * * *", "America/New_York"),
    ("45 1 * * *", "America/New_York"),
    ("0 9 * * 1-5", "America/New_York"),
)
SUN = (("sunrise", 52.5, 13.4), ("dusk_civil", -31.5, 159.1), ("solar_noon", 40.7, -74.0))
# Most worlds play around one of these days; the other zones and clock changes are the unit tests'.
BLACKOUTS = (
    Blackout(time(1, 0), time(3, 30)),
    Blackout(time(12, 10), time(23, 0), frozenset({0, 5, 6})),
    Blackout(datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 3, 29, 2, 0, tzinfo=UTC)),
    Blackout(datetime(2026, 3, 2, 12, 20, tzinfo=UTC), datetime(2026, 3, 3, 2, 0, tzinfo=UTC)),
)
PERIODS = (10, 30, 60, 60, 90, 300, 1800, 3600, 7200)


class People:
    def __init__(self, world: Any) -> None:
        self._world = world
        self.names = 0

    def make_blackouts(self) -> None:
        for number, blackout in enumerate(BLACKOUTS, 1):
            row = models.Blackout(pk=number, name=f"blackout {number}", zone="UTC")
            if isinstance(blackout.start, datetime):
                row.kind, row.start_at, row.end_at = "once", blackout.start, blackout.end
            else:
                row.start_time, row.end_time = blackout.start, blackout.end
                row.weekdays = sorted((day + 1) % 7 for day in blackout.weekdays)
            row.save()

    def create_schedule(self) -> None:
        self.names += 1
        task = PeriodicTask(name=f"schedule {self.names}", task="run_command", kwargs=json.dumps({"command": "true"}))
        self._give_trigger(task)
        if self._world.chance.random() < 0.15:
            task.start_time = self._world.clock + self._world.chance.choice([-HOUR, 5 * MINUTE, HOUR])
        if self._world.chance.random() < 0.15:
            task.expire_seconds = self._world.chance.choice([5, 60, 600])
        elif self._world.chance.random() < 0.1:  # django-celery-beat allows only one of the two
            task.expires = self._world.clock + self._world.chance.choice([5 * MINUTE, HOUR, DAY])
        task.save()
        self._give_policy(task.pk)
        if self._world.chance.random() < 0.25:
            self.limit(task.pk)

    def create_in_bulk(self) -> None:
        """Do what another program does: no policy, no look."""
        self.names += 1
        task = PeriodicTask(name=f"schedule {self.names}", task="run_command", kwargs=json.dumps({"command": "true"}))
        self._give_trigger(task)
        PeriodicTask.objects.bulk_create([task])

    def _give_trigger(self, task: PeriodicTask) -> None:
        task.interval = task.crontab = task.clocked = task.solar = None
        task.one_off = False
        kind = self._world.chance.random()
        if kind < 0.5:
            task.interval = IntervalSchedule.objects.create(every=self._world.chance.choice(PERIODS), period="seconds")
        elif kind < 0.84:
            line, zone = self._world.chance.choice(CRON)
            names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
            columns = dict(zip(names, line.split(), strict=True))
            task.crontab = CrontabSchedule.objects.create(timezone=zone, **columns)
        elif kind < 0.9:
            event, latitude, longitude = self._world.chance.choice(SUN)
            place = {"event": event, "latitude": latitude, "longitude": longitude}
            task.solar = SolarSchedule.objects.filter(**place).first() or SolarSchedule.objects.create(**place)
        else:
            at = self._world.clock + self._world.chance.choice([5, 60, 600, 3600]) * SECOND
            task.clocked = ClockedSchedule.objects.create(clocked_time=at)
            task.one_off = True

    def _give_policy(self, number: int) -> None:
        SchedulePolicy.objects.filter(pk=number).update(
            catch_up=self._world.chance.choice(["none", "latest", "all"]),
            catch_up_window=self._world.chance.choice([2 * MINUTE, HOUR, DAY]),
            catch_up_cap=self._world.chance.choice([1, 3, 100]),
            grace=self._world.chance.choice([timedelta(0), 10 * SECOND, MINUTE]),
            overlap=self._world.chance.choice(["skip", "queue", "replace", "allow"]),
            concurrency_key=self._world.chance.choice(["", "", "", "shared"]),
            when_wrong=self._world.chance.choice(["leave", "crash"]),
            attempts=self._world.chance.choice([2, 3]),
            retry_delay=timedelta(0),
        )

        through = SchedulePolicy.blackouts.through.objects
        through.filter(schedulepolicy_id=number).delete()
        if self._world.chance.random() < 0.5:
            blackout = self._world.chance.randint(1, len(BLACKOUTS))
            through.bulk_create([through.model(schedulepolicy_id=number, blackout_id=blackout)])

    def limit(self, number: int) -> None:
        """Change what only the policy says of when it fires."""
        weeks = self._world.chance.choice([1, 1, 2, 3])
        SchedulePolicy.objects.filter(pk=number).update(
            every_nth_week=weeks,
            weeks_from=self._world.chance.choice([None, date(2026, 3, 4), date(2026, 10, 28)]) if weeks > 1 else None,
            spread=self._world.chance.choice([timedelta(0), 30 * SECOND, HOUR]),
        )

    def _may_look(self, number: int) -> None:
        """Do what the admin does after a save, and other programs do not."""
        if self._world.chance.random() < 0.4:
            adoption.adopt([number], timezone.now())

    def save_switched(self, number: int) -> None:
        task = PeriodicTask.objects.get(pk=number)
        task.enabled = not task.enabled
        task.save()
        self._may_look(number)

    def restart(self, number: int) -> None:
        self.save_switched(number)
        self.save_switched(number)

    def update_switched(self, number: int) -> None:
        enabled = self._world.observer.schedules[number].seen.enabled
        PeriodicTask.objects.filter(pk=number).update(enabled=not enabled)

    def update_trigger(self, number: int) -> None:
        task = PeriodicTask.objects.get(pk=number)
        self._give_trigger(task)
        names = ("interval", "crontab", "clocked", "solar", "one_off")
        PeriodicTask.objects.filter(pk=number).update(**{name: getattr(task, name) for name in names})

    def save_retimed(self, number: int) -> None:
        task = PeriodicTask.objects.get(pk=number)
        self._give_trigger(task)
        task.save()
        self._may_look(number)

    def update_retimed(self, number: int) -> None:
        task = PeriodicTask.objects.select_related("interval").get(pk=number)
        IntervalSchedule.objects.filter(pk=task.interval_id).update(every=self._world.chance.choice(PERIODS))

    def save_shared(self, number: int) -> None:
        task = PeriodicTask.objects.select_related("interval").get(pk=number)
        if task.interval is not None:
            task.interval.every = self._world.chance.choice(PERIODS)
            task.interval.save()

    def break_(self, number: int) -> None:
        task = PeriodicTask.objects.get(pk=number)
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        CrontabSchedule.objects.filter(pk=task.crontab_id).update(**dict(zip(names, BROKEN_LINE.split(), strict=True)))

    def rule(self, number: int) -> None:
        self._give_policy(number)

    def save_same(self, number: int) -> None:
        PeriodicTask.objects.get(pk=number).save()

    def delete(self, number: int) -> None:
        PeriodicTask.objects.get(pk=number).delete()

    def start_by_hand(self, number: int) -> None:
        task = PeriodicTask.objects.select_related("policy").get(pk=number)
        key = exclusive_key(task.policy)
        starting.start("run_command", {"command": "true"}, by="me", schedule=task, exclusive_key=key)


EDITS = (
    People.save_switched, People.save_switched, People.update_switched, People.save_retimed, People.update_retimed,
    People.save_shared, People.break_, People.rule, People.limit, People.save_same, People.delete, People.start_by_hand,
    People.start_by_hand,
)  # fmt: skip
# What other programs do while no beat runs.
BEHIND_ITS_BACK = (
    People.update_switched, People.update_switched, People.update_retimed, People.update_trigger, People.update_trigger,
    People.limit, People.break_, People.delete,
)  # fmt: skip
