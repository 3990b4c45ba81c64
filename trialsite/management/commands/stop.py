"""`manage.py stop`: ends the running `serve` and waits until it is gone; clears up after a killed one."""

import os
import signal
import time

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from trialsite import embedded, processes


class Command(BaseCommand):
    help = "Ends what `manage.py serve` has started."
    requires_system_checks = []

    def handle(self, **options):
        var, serve, left = settings.VAR, None, 0
        try:
            with processes.claimed(var):
                left = processes.end_left_over(var)
                embedded.stop_database(var)
        except processes.AlreadyServed as found:
            serve = found.pid
            os.kill(serve, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while serve and processes.alive(serve):
            if time.monotonic() > deadline:
                raise CommandError(f"process {serve} does not end; {var / 'log'} may say why")
            time.sleep(0.1)
        self.stdout.write("stopped" if serve or left else "nothing was running")
