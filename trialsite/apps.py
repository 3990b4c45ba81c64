from django.apps import AppConfig
from django.db.models.signals import post_migrate


def after_migration(*, using, **kwargs):
    from trialsite.audit import install_trail

    install_trail(using)


class TrialsiteConfig(AppConfig):
    name = "trialsite"
    default = True

    def ready(self):
        from trialsite import checks  # noqa: F401  registers the start-up checks

        # post_migrate is sent once per app, after all migrations have run: once is enough
        post_migrate.connect(after_migration, sender=self, dispatch_uid="install_trail")
