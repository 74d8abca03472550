from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BeatConfig(AppConfig):
    name = "beat_config"
    verbose_name = "Scheduler"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from beat_config import chains, change_marks  # noqa: PLC0415 - needs the models, which are loaded by now
        from jobs import claims  # noqa: PLC0415 - as above

        post_migrate.connect(change_marks.install, sender=self)
        claims.on_end.append(chains.start_followers)
