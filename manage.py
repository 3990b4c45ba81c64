#!/usr/bin/env python
"""Django's command line. Starts the embedded database for the commands that need one."""

import os
import sys

WITHOUT_DATABASE = {"check_protocol", "collectstatic", "help", "version", "serve", "stop", "check"}


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trialsite.settings")
    from django.core.management import execute_from_command_line

    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    profile = os.environ.get("TRIALSITE_PROFILE", "demo")
    if command not in WITHOUT_DATABASE and "DATABASE_URL" not in os.environ and not profile.startswith("production"):
        from trialsite import embedded

        embedded.start_database(embedded.var_folder())
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
