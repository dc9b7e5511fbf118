from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies: "list[tuple[str, str]]" = []
    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=50, unique=True)),
                ("balance", models.IntegerField(default=0)),
                ("notes", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("amount", models.IntegerField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=models.deletion.CASCADE, to="django_site.account"
                    ),
                ),
            ],
        ),
    ]
