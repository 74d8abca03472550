from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("beat_config", "0005_retries")]

    operations = [
        migrations.CreateModel(
            name="Tag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=50, unique=True)),
            ],
            options={"ordering": ["name"]},
        ),
        migrations.AddField(
            model_name="schedulepolicy",
            name="tags",
            field=models.ManyToManyField(blank=True, related_name="policies", to="beat_config.tag"),
        ),
    ]
