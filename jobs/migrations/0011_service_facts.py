from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_job_limits")]

    operations = [
        migrations.AddField(
            model_name="service",
            name="broker_problem",
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name="service",
            name="queues",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name="service",
            name="slots",
            field=models.PositiveSmallIntegerField(default=0),
        ),
    ]
