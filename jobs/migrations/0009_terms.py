from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0008_every_machine")]

    operations = [
        migrations.AddField("run", "terms", models.JSONField(blank=True, editable=False, null=True)),
    ]
