from django.db import migrations, models


class Migration(migrations.Migration):
    # SQLite gets a column with a CHECK by making the table anew, with all that is in it.
    dependencies = [("orders", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="product",
            name="attributes",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
