from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "scheduler_app.web"
    label = "web"
    verbose_name = "Admin"
    default_auto_field = "django.db.models.BigAutoField"
