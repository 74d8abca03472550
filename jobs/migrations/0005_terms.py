from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_broker_away")]

    operations = [
        migrations.AddField("run", "terms", models.JSONField(blank=True, editable=False, null=True)),
    ]
