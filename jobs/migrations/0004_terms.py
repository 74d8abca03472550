from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_refused_messages")]

    operations = [
        migrations.AddField("run", "terms", models.JSONField(blank=True, editable=False, null=True)),
    ]
