"""The only place that invents sites and people, and that lets a day of the past be today.

A demonstration trial is not typed into tables: each floor's `demo` has small steps that call the same actions as
the browser, and an `Agenda` calls the steps in the order of the days on which they happen. Everything follows from a
seed: the same seed on the same day makes the same trial. The audit trail alone is not in on the game: its instants,
given by the database, are those at which the demo was made.
"""

import base64
import hashlib
import heapq
import json
import os
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from itertools import count
from pathlib import Path
from unittest import mock
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from trialsite import actions
from trialsite.models import OutboxMessage, Site, User
from trialsite.roles import AT_A_SITE, Role

# --- the days --------------------------------------------------------------------------------------


@contextmanager
def clock_at(instant):
    """Inside, Django's timezone.now() says `instant` (aware), to the actions and to the defaults of models."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return instant.astimezone(tz)

    # timezone.now itself is held by the models' defaults, so what it asks is replaced
    with mock.patch.object(timezone, "datetime", Clock):
        yield


def at(site, day, clock="17:00"):
    """The instant at which the clocks of a site show this time ("HH:MM") of a day."""
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo(site.timezone)).astimezone(UTC)


class Agenda:
    """What is to happen, in the order of its instants. A step may put further steps on it."""

    def __init__(self):
        self._steps = []
        self._order = count()

    def add(self, instant, step, /, **arguments):
        heapq.heappush(self._steps, (instant, next(self._order), step, arguments))

    def run(self, until, tell=None):
        """Do what falls before `until`, each step with the clock at its instant and in a transaction of its own.

        What is later never happens. `tell` is called with the instant after each step."""
        while self._steps and self._steps[0][0] < until:
            instant, _, step, arguments = heapq.heappop(self._steps)
            with clock_at(instant), transaction.atomic():
                step(**arguments)
            if tell:
                tell(instant)


def chance(*key):
    """Random numbers that depend on nothing but the key."""
    return random.Random("/".join(map(str, key)))


@contextmanager
def kept_in_the_outbox():
    """Inside, nothing is handed to the broker, which need not run yet; the scheduler sends it when it does."""
    with mock.patch("trialsite.outbox.send", return_value=False):
        yield
    # written on a day that was played: nothing has waited that long
    OutboxMessage.objects.filter(done_at=None).update(written_at=timezone.now())


# --- sites and people --------------------------------------------------------------------------------

HOSPITALS = (
    "Beijing 302 Hospital",
    "Beijing Ditan Hospital",
    "Beijing Youan Hospital",
    "Guangzhou Eighth People's Hospital",
    "Shanghai Public Health Clinical Center",
    "Third People's Hospital of Shenzhen",
    "Public Health Clinical Center of Chengdu",
    "Chongqing Public Health Medical Center",
)
FAMILY_NAMES = (
    "Chen Deng Fang Gao Huang Jiang Liang Lin Ma Peng Qian Shen Song Sun Tang Wei Wu Xie Xu Yang Ye Zheng Zhou Zhu"
)
GIVEN_NAMES = (
    "Ailing Bowen Chunmei Dawei Guanglei Haoran Jianguo Lifen Meilin Ningning Qiang Ruolan Shufen Tao Weidong Xiaohui"
)
# none of them a name of a trial, a role or a place
WORDS = [
    "amber", "basket", "candle", "copper", "cotton", "desert", "feather", "forest", "garden", "ginger", "granite",
    "harvest", "hazel", "island", "jasmine", "kettle", "lantern", "lemon", "linen", "magnet", "maple", "marble",
    "meadow", "mirror", "mosaic", "needle", "olive", "orange", "orchid", "pebble", "pepper", "pocket", "quartz",
    "ribbon", "saddle", "sesame", "silver", "spiral", "summer", "tablet", "timber", "tomato", "tulip", "tunnel",
    "velvet", "violet", "walnut", "willow", "window", "winter",
]  # fmt: skip

GLOBAL_ACCOUNTS = (
    ("monitor", Role.MONITOR),
    ("data-manager", Role.DATA_MANAGER),
    ("statistician", Role.STATISTICIAN),
    ("safety-officer", Role.SAFETY_OFFICER),
    ("dsmb-1", Role.DSMB_MEMBER),
    ("dsmb-2", Role.DSMB_MEMBER),
    ("administrator", Role.ADMINISTRATOR),
    ("inspector", Role.INSPECTOR),
)


@dataclass
class Account:
    """One person of the demo, with what the person signs in with."""

    user: User
    password: str
    role: str
    site: Site | None = None
    totp_secret: str | None = None

    def as_json(self):
        return {
            "user": self.user.username,
            "password": self.password,
            "role": self.role,
            "site": self.site.code if self.site else None,
            "totp_secret": self.totp_secret,
        }


@dataclass
class People:
    """Everybody of the demo. `who(role)` is a person for all sites, `who(role, site)` one of that site; `all_who` are all
    of them."""

    accounts: list[Account] = field(default_factory=list)

    def who(self, role, site=None):
        return self.all_who(role, site)[0]

    def all_who(self, role, site=None):
        return [a.user for a in self.accounts if a.role == role and a.site == site]


def make_site(*, code="01", name=HOSPITALS[0], timezone="Asia/Shanghai", by):
    return actions.create_site(code=code, name=name, country="CN", timezone=timezone, by=by)


def make_sites(number, *, timezone="Asia/Shanghai", by):
    """Sites 01, 02 ... under the names of real hospitals in China for as long as the list lasts."""
    codes = [f"{place:02d}" for place in range(1, number + 1)]
    names = [HOSPITALS[i] if i < len(HOSPITALS) else f"Hospital {code}" for i, code in enumerate(codes)]
    return [make_site(code=code, name=name, timezone=timezone, by=by) for code, name in zip(codes, names, strict=True)]


def make_account(*, username, role, site=None, seed=1, with_second_factor=False, by):
    """An account with a password (and a secret of the second factor) that follow from the seed."""
    lot = chance(seed, "account", username)
    password = "-".join([*lot.sample(WORDS, 3), str(lot.randint(1000, 9999))])
    name = f"{lot.choice(FAMILY_NAMES.split())} {lot.choice(GIVEN_NAMES.split())}"
    email = f"{username}@trialsite.invalid"  # the demonstration writes its mails to files
    user = actions.create_account(username=username, full_name=name, email=email, password=password, by=by)
    actions.grant_role(user=user, role=role, site=site, reason="demonstration", by=by)
    account = Account(user, password, role, site)
    if with_second_factor:
        digest = hashlib.sha256(f"{seed}/second factor/{username}".encode()).digest()
        account.totp_secret = base64.b32encode(digest[:20]).decode()
        actions.enrol_second_factor(user=user, secret=account.totp_secret, by=user)
    return account


def make_people(sites, *, seed=1, with_second_factor=False, by):
    """One person for each role: coordinator-01, investigator-01, pharmacist-01 ... at each site, the others for all."""
    wanted = [(f"{role}-{site.code}", role, site) for site in sites for role in AT_A_SITE]
    wanted += [(username, role, None) for username, role in GLOBAL_ACCOUNTS]
    return People(
        [
            make_account(
                username=username, role=role, site=site, seed=seed, with_second_factor=with_second_factor, by=by
            )
            for username, role, site in wanted
        ]
    )


def write_accounts(people, path):
    """Write who can sign in with what, as JSON that only the owner of the file can read."""
    path = Path(path)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump([account.as_json() for account in people.accounts], file, indent=2)
        file.write("\n")
