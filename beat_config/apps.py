from django.apps import AppConfig


class BeatConfig(AppConfig):
    name = "beat_config"
    verbose_name = "Scheduler"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from beat_config import signals  # noqa: PLC0415 - needs the models, which are loaded by now

        signals.connect()
