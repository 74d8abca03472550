from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("beat_config", "0006_tags")]

    operations = [
        migrations.CreateModel(
            name="DeletedSchedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("schedule_id", models.PositiveBigIntegerField()),
                ("name", models.CharField(max_length=200)),
                ("rows", models.JSONField()),
                ("deleted_at", models.DateTimeField()),
                ("deleted_by", models.CharField(max_length=150)),
            ],
        ),
    ]
