import datetime

import django.core.validators
from django.db import migrations, models


def drop_triggers(_apps, schema_editor):
    """They are made anew after every migrate; on SQLite they are in the way of a table that is built anew."""
    if schema_editor.connection.vendor != "sqlite":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(r"SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'beat\_config\_%' ESCAPE '\'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TRIGGER {name}")


def say_it_anew(apps, _schema_editor):
    policies = apps.get_model("beat_config", "SchedulePolicy").objects
    policies.filter(when_wrong="again").update(when_wrong="crash", retry_delay=datetime.timedelta(0))
    policies.filter(when_wrong="leave").update(when_wrong="job")


def say_it_as_before(apps, schema_editor):
    drop_triggers(apps, schema_editor)
    policies = apps.get_model("beat_config", "SchedulePolicy").objects
    policies.filter(when_wrong__in=["crash", "any"]).update(when_wrong="again")
    policies.exclude(when_wrong="again").update(when_wrong="leave")


class Migration(migrations.Migration):
    dependencies = [("beat_config", "0004_chains")]

    operations = [
        migrations.RunPython(drop_triggers, migrations.RunPython.noop),
        migrations.RenameField("schedulepolicy", "crash", "when_wrong"),
        migrations.RenameField("schedulepolicy", "crash_attempts", "attempts"),
        migrations.AlterField(
            "schedulepolicy",
            "when_wrong",
            models.CharField(
                choices=[
                    ("job", "Do what the job says (most jobs: leave it)"),
                    ("leave", "Leave it"),
                    ("crash", "Run it again after a crash or a power cut"),
                    ("failure", "Run it again when it has failed or taken too long"),
                    ("any", "Run it again, whatever went wrong"),
                ],
                db_default="job",
                max_length=8,
                verbose_name="if it goes wrong",
            ),
        ),
        migrations.AddField(
            "schedulepolicy",
            "retry_delay",
            models.DurationField(
                db_default=datetime.timedelta(seconds=60), verbose_name="pause before the next attempt"
            ),
        ),
        migrations.AddField(
            "schedulepolicy",
            "retry_doubles",
            models.BooleanField(db_default=False, verbose_name="twice as long after each attempt"),
        ),
        migrations.AddField(
            "schedulepolicy",
            "retry_longest",
            models.DurationField(db_default=datetime.timedelta(seconds=3600), verbose_name="but not longer than"),
        ),
        migrations.AddField(
            "schedulepolicy",
            "retry_varies",
            models.BooleanField(db_default=False, verbose_name="vary it at random"),
        ),
        migrations.RunPython(say_it_anew, say_it_as_before),
    ]
