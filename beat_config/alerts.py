"""Alerts on their way: from what happened to the channels it is for, and from there in few messages."""

import logging
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from beat_config import alert_events
from beat_config.alert_events import Happening
from beat_config.models import Alert, AlertChannel, AlertMemory, Tag
from jobs import vault
from jobs.vault import SecretError

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
# What comes within this after a message waits, and is one message.
GATHER = timedelta(minutes=5)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
# What could not be told for so long is no news any more.
GIVE_UP_AFTER = timedelta(days=2)
LINES, LONGEST_LINE = 20, 300
TITLE = "Scheduler"


def look_and_send(now: datetime) -> None:
    """Notice what happened and send what is to be sent, unless another beat is doing it."""
    if not AlertChannel.objects.filter(enabled=True).exists():
        AlertMemory.objects.all().delete()  # a channel that is made later hears of what happens from then on
        return
    AlertMemory.objects.bulk_create([AlertMemory(pk=1)], ignore_conflicts=True)
    if AlertMemory.objects.filter(pk=1, lease_until__lt=now).update(lease_until=now + LEASE) != 1:
        return
    try:
        _notice(now)
        for channel in AlertChannel.objects.filter(enabled=True, send_at__lte=now).select_related("address"):
            deliver(channel, now)
    finally:
        AlertMemory.objects.filter(pk=1).update(lease_until=now)


def _notice(now: datetime) -> None:
    with transaction.atomic():
        memory = AlertMemory.objects.get(pk=1)
        memory.noticed, happened = alert_events.look(memory.noticed, now)
        AlertMemory.objects.filter(pk=1).update(noticed=memory.noticed)
        if happened:
            for channel in AlertChannel.objects.filter(enabled=True):
                wanted = chosen(channel, happened)
                Alert.objects.bulk_create(
                    Alert(channel=channel, at=now, event=each.event, text=each.text) for each in wanted
                )
        Alert.objects.filter(at__lt=now - GIVE_UP_AFTER).delete()


def chosen(channel: AlertChannel, happened: Sequence[Happening]) -> list[Happening]:
    """Return what of *happened* is for *channel*: by its events, and by the tags of the schedules."""
    wanted = [each for each in happened if each.event in channel.events]
    tags = list(channel.tags.values_list("pk", flat=True))
    if not tags:
        return wanted
    ids = [each.schedule for each in wanted if each.schedule is not None]
    tagged = set(Tag.objects.filter(pk__in=tags, policies__in=ids).values_list("policies", flat=True) if ids else ())
    # What is about no schedule, such as the disk, concerns everybody.
    return [each for each in wanted if each.schedule is None or each.schedule in tagged]


def deliver(channel: AlertChannel, now: datetime) -> None:
    """Send what waits for *channel* as one message, unless its quiet hours are on; note how it went."""
    waiting = list(channel.waiting.order_by("pk"))
    if not waiting or is_quiet(
        channel.quiet_from, channel.quiet_to, now.astimezone(ZoneInfo(settings.TIME_ZONE)).time()
    ):
        return
    problem = send(channel, *message(waiting))
    mine = AlertChannel.objects.filter(pk=channel.pk)
    if problem:
        pause = min(FIRST_PAUSE * 2 ** min(channel.failures, 20), LONGEST_PAUSE)
        mine.update(error=problem, failures=min(channel.failures + 1, 1_000), send_at=now + pause)
        logger.warning("cannot send alerts to %s: %s", channel.name, problem)
        return
    with transaction.atomic():
        channel.waiting.filter(pk__lte=waiting[-1].pk).delete()
        mine.update(error="", failures=0, sent_at=now, send_at=now + GATHER)


def is_quiet(start: time | None, end: time | None, at: time) -> bool:
    """Tell whether *at* lies from *start* to before *end*; an end that is not after the start is on the next day."""
    if start is None or end is None:
        return False
    return start <= at < end if start < end else at >= start or at < end


def message(alerts: Sequence[Alert]) -> tuple[str, str]:
    """Return title and text of the one message that tells of all *alerts*."""
    texts = list(dict.fromkeys(alert.text[:LONGEST_LINE] for alert in alerts))
    if len(texts) == 1:
        return f"{TITLE}: {texts[0][:80]}", texts[0]
    more = len(texts) - LINES
    lines = [*texts[:LINES], *([f"… and {more} more"] if more > 0 else [])]
    return f"{TITLE}: {len(texts)} things to know", "\n".join(lines)


def send(channel: AlertChannel, title: str, text: str) -> str:
    """Send one message to *channel*; return why it did not go through, in words without the address, or ""."""
    try:
        address = vault.read(channel.address.name)
    except SecretError as error:
        return str(error)
    # It takes 15 MB and 0.2 s, and most installations have no channel.
    import apprise  # noqa: PLC0415

    sender = apprise.Apprise(asset=apprise.AppriseAsset(app_id=TITLE, app_url=""))
    if not sender.add(address):
        return "cannot use the address: no service that Apprise knows; see docs/alerts.md for examples"
    with apprise.LogCapture(level=logging.INFO, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]  # Apprise types half
        if sender.notify(title=title, body=text):
            return ""
        lines = [line for line in said.getvalue().splitlines() if line.strip()]
    reason = " ".join(lines[-2:]).replace(address, "the address")[:500]
    return f"cannot send: {reason or 'the service refused the message without saying why'}"


def try_out(channel: AlertChannel) -> str:
    """Send a test message at once, whatever the hour; return why it did not go through, or ""."""
    moment = timezone.localtime()
    return send(channel, f"{TITLE}: a test", f"This is how alerts reach you. Sent {moment:%Y-%m-%d %H:%M:%S %Z}.")
