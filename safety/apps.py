from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SafetyConfig(AppConfig):
    name = "safety"

    def ready(self):
        from safety.coding.install import after_migration

        post_migrate.connect(after_migration, sender=self, dispatch_uid="install_ctcae")
