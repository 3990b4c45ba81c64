from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('trialsite', '0008_drafts_without_titles'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='draft',
            name='one_draft_of_a_form',
        ),
        migrations.AddConstraint(
            model_name='draft',
            constraint=models.UniqueConstraint(fields=('user', 'path', 'form_key'), name='one_draft_of_an_opened_form'),
        ),
    ]
