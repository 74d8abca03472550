from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Scheduler"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from jobs import permissions, worker  # noqa: PLC0415 - need the models, which are loaded by now

        worker.connect()
        # Sent for one app after the other; the last one's, when the permissions of all of them are there.
        last = [app for app in apps.get_app_configs() if app.models_module is not None][-1]
        post_migrate.connect(permissions.update_ready_groups, sender=last)
