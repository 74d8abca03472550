"""The time zones' data as this process has them, and which cursors to compute anew when they have changed.

A process reads a zone once (zoneinfo keeps it), so a new release of the tz database is in force when beat starts anew.
"""

import hashlib
import importlib.resources
import zoneinfo
from collections.abc import Mapping
from pathlib import Path

from django.db import transaction

from beat_config.models import LOOK_NOW, SchedulePolicy, TimeZoneData


def digests() -> dict[str, str]:
    """Return a digest of each zone's data, found as zoneinfo finds them: in its path, else in the package tzdata."""
    return {zone: digest for zone in sorted(zoneinfo.available_timezones()) if (digest := _digest(zone))}


def look_at_changed(now: Mapping[str, str]) -> int:
    """Have beat look at the schedules in zones whose digest is not the stored one; return how many zones those are.

    Stores the digests *now*. A schedule whose cursor comes out the same keeps it.
    """
    with transaction.atomic():
        stored = dict(TimeZoneData.objects.select_for_update().values_list("zone", "digest"))
        changed = [zone for zone, digest in now.items() if stored.get(zone, digest) != digest]
        concerned = SchedulePolicy.objects.filter(next_fire_at__isnull=False)
        if changed:
            concerned.filter(schedule__crontab__timezone__in=changed).update(look_at=LOOK_NOW)
        TimeZoneData.objects.bulk_create(
            [TimeZoneData(zone=zone, digest=digest) for zone, digest in now.items() if stored.get(zone) != digest],
            update_conflicts=True,
            unique_fields=["zone"],
            update_fields=["digest"],
        )
    return len(changed)


def _digest(zone: str) -> str:
    for folder in zoneinfo.TZPATH:
        file = Path(folder, *zone.split("/"))
        if file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest()
    package, _, name = f"tzdata.zoneinfo.{zone.replace('/', '.')}".rpartition(".")
    try:
        return hashlib.sha256((importlib.resources.files(package) / name).read_bytes()).hexdigest()
    except (ModuleNotFoundError, FileNotFoundError):
        return ""
