"""Who may do what: Django's permissions, said in four ready groups.

A viewer looks; an operator also starts, cancels and pauses; an editor also makes and changes schedules; an admin also
decides who is what. Running commands, which is running anything as the service's user, is a permission on top that
only admins have of themselves.

The groups are people's to change. What a version gives a group for the first time is added to it, what no version
gives it any more is taken away, and everything else in it stays as it was left.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet

from jobs import catalogue
from jobs.models import ReadyGroup

RUN_SCHEDULE = "jobs.run_schedule"
# All who have anything in these apps are admins' to decide on.
OWN_APPS = frozenset({"jobs", "beat_config", "web", "auth"})

VIEWER = frozenset(
    {"beat_config.view_schedule", "beat_config.view_blackout", "jobs.view_run", "jobs.view_refusedmessage"}
)
OPERATOR = VIEWER | {RUN_SCHEDULE}
EDITOR = OPERATOR | {
    *(f"beat_config.{verb}_{model}" for verb in ("add", "change", "delete") for model in ("schedule", "blackout")),
    *(f"jobs.{verb}_secret" for verb in ("view", "add", "change", "delete")),
    "jobs.view_auditentry",
}


def may_operate(user: Any) -> bool:
    """Tell whether *user* may start, cancel, run again and pause."""
    return bool(user.has_perm(RUN_SCHEDULE))


def may_use_job(user: Any, job: str) -> bool:
    """Tell whether *user* may schedule and start the job called *job*: some, like commands, need their permission."""
    jobs = catalogue.registry()
    needed = jobs[job].permission if job in jobs else None
    return needed is None or bool(user.has_perm(needed))


def held_by(user: User) -> set[str]:
    """Return what *user* may do by permissions and groups of theirs, also while they may not sign in."""
    held = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return _names(held)


def is_above(other: User, user: Any) -> bool:
    """Tell whether *other* may do anything that *user* may not: then *user* does not decide about them."""
    if user.is_superuser:
        return False
    return bool(other.is_superuser) or not held_by(other) <= user.get_all_permissions()


def beyond(user: Any, permissions: Iterable[Permission], groups: Iterable[Group]) -> set[str]:
    """Return which of these permissions, and of those of the groups, *user* has not got and so cannot give."""
    if user.is_superuser:
        return set()
    given = Permission.objects.filter(Q(pk__in=[each.pk for each in permissions]) | Q(group__in=groups))
    has: set[str] = user.get_all_permissions()
    return _names(given) - has


def _names(permissions: QuerySet[Permission]) -> set[str]:
    return {f"{app}.{name}" for app, name in permissions.values_list("content_type__app_label", "codename")}


def update_ready_groups(**_signal: Any) -> None:
    """Bring the ready groups to this version; called when all migrations are done."""
    known = {
        f"{app}.{codename}": pk
        for pk, app, codename in Permission.objects.values_list("pk", "content_type__app_label", "codename")
    }
    everything = frozenset(name for name in known if name.partition(".")[0] in OWN_APPS)
    for name, wanted in {"viewer": VIEWER, "operator": OPERATOR, "editor": EDITOR, "admin": everything}.items():
        _update(name, wanted & known.keys(), known)


def _update(name: str, wanted: frozenset[str], known: dict[str, int]) -> None:
    ready = ReadyGroup.objects.filter(name=name).select_related("group").first()
    if ready is None:
        # Somebody's own group of that name stays theirs; it is not one of ours, nor will it become one.
        group = None if Group.objects.filter(name=name).exists() else Group.objects.create(name=name)
        ready = ReadyGroup(name=name, group=group)
    if ready.group is not None:
        given = set(ready.given)
        ready.group.permissions.add(*(known[each] for each in wanted - given))
        ready.group.permissions.remove(*(known[each] for each in given - wanted if each in known))
    if ready.pk is None or set(ready.given) != wanted:
        ready.given = sorted(wanted)
        ready.save()
