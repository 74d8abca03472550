from django.apps import AppConfig, apps


class WebConfig(AppConfig):
    name = "scheduler_app.web"
    label = "web"
    verbose_name = "Admin"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Django's name for it says little to people.
        apps.get_app_config("auth").verbose_name = "People"
