"""Users and groups, in Unfold's look: nobody gives what they have not got, nor decides about those who have more."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as CheckBoxes

from jobs import permissions
from jobs.audited_admin import AuditedAdmin
from scheduler_app.web.hook_admin import WebHookAdmin
from scheduler_app.web.models import ApiToken, WebHook
from scheduler_app.web.token_admin import ApiTokenAdmin

admin.site.register(ApiToken, ApiTokenAdmin)
admin.site.register(WebHook, WebHookAdmin)
admin.site.unregister(User)
admin.site.unregister(Group)


USER_WORDS = {
    "is_active": ("May sign in", "Switched off rather than deleted, somebody's name stays with what they did."),
    "groups": (
        "Groups",
        "Viewers look; operators also start, cancel and pause; editors also make and change; admins may do all of it.",
    ),
    "user_permissions": ("Besides, this person may", "Running commands, for instance, which editors may not."),
    "is_superuser": ("May do everything", "Whatever the groups say."),
}
# What is somebody's to do here; Django knows more kinds of rows, which have no pages.
_VERBS = {"view": "Look at", "add": "Add", "change": "Change", "delete": "Delete"}
# What no page does, whoever asks.
_IDLE = (
    *("add_run", "change_run", "delete_run", "add_refusedmessage", "change_refusedmessage"),
    *("add_auditentry", "change_auditentry", "delete_auditentry"),
)


def offered() -> QuerySet[Permission]:
    """Return the permissions that make a difference."""
    pages = {(model._meta.app_label, str(model._meta.model_name)) for model in admin.site._registry}  # noqa: SLF001 - it has no other list of them
    found = Q(codename__in=["run_command", "run_schedule"])
    for app, model in pages:
        found |= Q(content_type__app_label=app, content_type__model=model)
    useful = Permission.objects.filter(found).exclude(codename__in=_IDLE)
    return useful.select_related("content_type").order_by("content_type__model", "codename")


def in_words(permission: Permission) -> str:
    """Return what *permission* lets people do, as a verb and its object."""
    verb, _, model = permission.codename.partition("_")
    kind = permission.content_type.model_class()
    if verb not in _VERBS or kind is None or kind._meta.model_name != model:
        return capfirst(permission.name.removeprefix("Can "))
    return f"{_VERBS[verb]} {kind._meta.verbose_name_plural}"


class GiverMixin:
    """Of a form that gives permissions: refuses what the person who fills it in, *giver*, has not got."""

    giver: Any = None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data  # type: ignore[misc,attr-defined]  # a form's
        given = cleaned.get("user_permissions", cleaned.get("permissions", ()))
        missing = permissions.beyond(self.giver, given, cleaned.get("groups", ()))
        if missing or (cleaned.get("is_superuser") and not self.giver.is_superuser):
            what = ", ".join(sorted(missing)) or "everything"
            raise ValidationError(f"You cannot let somebody do what you may not do yourself: {what}.")
        return cleaned


def _given_by(request: HttpRequest, form: Any) -> Any:
    return type(form.__name__, (GiverMixin, form), {"giver": request.user})


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg,misc]  # Unfold has no types
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    filter_horizontal = ()
    list_display = ("username", "shown_name", "shown_groups", "may_sign_in", "last_login")
    list_filter = ("groups", "is_active")
    # Whoever is a user of this program is one of its admin: Django's staff flag is set for all of them.
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("What this person may do", {"fields": ("is_active", "groups", "user_permissions", "is_superuser")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "usable_password", "password1", "password2", "groups")}),
    )

    @display(description="Name")
    def shown_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(description="Groups")
    def shown_groups(self, user: User) -> str:
        names = ", ".join(group.name for group in user.groups.all())
        return ", ".join(filter(None, ["may do everything" if user.is_superuser else "", names])) or "–"

    @display(description="May sign in", boolean=True)
    def may_sign_in(self, user: User) -> bool:
        return user.is_active and user.is_staff

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Somebody's tokens and web hooks, which nobody deletes by themselves, go with them."""
        going, counts, lacking, kept = super().get_deleted_objects(objs, request)
        theirs = {model._meta.verbose_name for model in (ApiToken, WebHook)}
        return going, counts, lacking - theirs, kept

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = True
        super().save_model(request, obj, form, change)

    def audited(self, user: User) -> dict[str, Any]:
        return {
            "User name": user.username,
            "Name": user.get_full_name(),
            "E-mail address": user.email,
            "May sign in": user.is_active and user.is_staff,
            "May do everything": user.is_superuser,
            "Groups": sorted(user.groups.values_list("name", flat=True)),
            "Permissions": sorted(map(in_words, user.user_permissions.all())),
            # Its beginning says how it was hashed, and the salt in it that it is another one; nothing of the password.
            "Password": "none" if not user.has_usable_password() else f"set, salt {user.password.split('$')[2]}",
        }

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = _given_by(request, super().get_form(request, obj, change=change, **kwargs))
        for name, (label, help_text) in USER_WORDS.items():
            if name in form.base_fields:
                form.base_fields[name].label, form.base_fields[name].help_text = label, help_text
        return form

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, widget=CheckBoxes, **kwargs)
        if db_field.name == "user_permissions" and field is not None:
            field.queryset = offered()
            field.label_from_instance = in_words  # type: ignore[method-assign,assignment]  # Django's way to say it
        return field

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and permissions.is_above(obj, request.user)
        return super().has_change_permission(request, obj) and not above

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and permissions.is_above(obj, request.user)
        return super().has_delete_permission(request, obj) and not above


@admin.register(Group)
class GroupAdmin(AuditedAdmin, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    filter_horizontal = ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, widget=CheckBoxes, **kwargs)
        if db_field.name == "permissions" and field is not None:
            field.queryset = offered()
            field.label_from_instance = in_words  # type: ignore[method-assign,assignment]  # Django's way to say it
        return field

    def audited(self, group: Group) -> dict[str, Any]:
        return {"Name": group.name, "Permissions": sorted(map(in_words, group.permissions.all()))}

    def get_form(self, request: HttpRequest, obj: Group | None = None, change: bool = False, **kwargs: Any) -> Any:
        return _given_by(request, super().get_form(request, obj, change=change, **kwargs))

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and not _holds_more(obj, request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not _holds_more(obj, request.user)


def _holds_more(group: Group | None, user: Any) -> bool:
    return group is not None and bool(permissions.beyond(user, Permission.objects.none(), [group]))
