"""Dates and numbers are written in Chinese as in English: nobody has to know in which language a page was read."""

from trialsite.formats.en.formats import *  # noqa: F403
