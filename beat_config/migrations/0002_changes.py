from django.db import migrations, models
from django.db.models.functions import Now


def drop_triggers(apps, schema_editor):
    """The ones that stay are made anew after every migrate; on SQLite they are in the way of a new column."""
    with schema_editor.connection.cursor() as cursor:
        if schema_editor.connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION IF EXISTS beat_config_task_switched() CASCADE")
            return
        cursor.execute(r"SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'beat\_config\_%' ESCAPE '\'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TRIGGER {name}")


def start_from_now(apps, schema_editor):
    """An empty fingerprint used to say "starts from beat's next look"; now it says "starts from the anchor"."""
    apps.get_model("beat_config", "SchedulePolicy").objects.filter(fingerprint="").update(anchor=Now())


class Migration(migrations.Migration):

    dependencies = [
        ('beat_config', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(drop_triggers, migrations.RunPython.noop),
        migrations.AddField(
            model_name='schedulepolicy',
            name='changes',
            field=models.TextField(blank=True, db_default='', editable=False),
        ),
        migrations.RunPython(start_from_now, drop_triggers),
    ]
