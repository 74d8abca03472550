from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("beat_config", "0007_deleted_schedules")]

    operations = [
        migrations.AddIndex(
            model_name="schedulepolicy",
            index=models.Index(
                condition=models.Q(("error_at__isnull", False)), fields=["error_at"], name="beat_config_failing"
            ),
        ),
    ]
