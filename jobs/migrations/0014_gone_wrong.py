from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0013_run_keys")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("part_of", None), ("state__in", ["failed", "interrupted", "timed_out"])),
                fields=["schedule", "-id"],
                name="jobs_run_gone_wrong",
            ),
        ),
    ]
