"""Users and groups, in Unfold's look: nobody gives what they have not got, nor decides about those who have more."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from jobs import permissions
from jobs.audited_admin import AuditedAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


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
            "Permissions": sorted(str(each) for each in user.user_permissions.all()),
            # Its beginning says how it was hashed, and the salt in it that it is another one; nothing of the password.
            "Password": "none" if not user.has_usable_password() else f"set, salt {user.password.split('$')[2]}",
        }

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        return _given_by(request, super().get_form(request, obj, change=change, **kwargs))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and permissions.is_above(obj, request.user)
        return super().has_change_permission(request, obj) and not above

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and permissions.is_above(obj, request.user)
        return super().has_delete_permission(request, obj) and not above


@admin.register(Group)
class GroupAdmin(AuditedAdmin, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    def audited(self, group: Group) -> dict[str, Any]:
        return {"Name": group.name, "Permissions": sorted(str(each) for each in group.permissions.all())}

    def get_form(self, request: HttpRequest, obj: Group | None = None, change: bool = False, **kwargs: Any) -> Any:
        return _given_by(request, super().get_form(request, obj, change=change, **kwargs))

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and not _holds_more(obj, request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not _holds_more(obj, request.user)


def _holds_more(group: Group | None, user: Any) -> bool:
    return group is not None and bool(permissions.beyond(user, Permission.objects.none(), [group]))
