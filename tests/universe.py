"""The cast of the tests, and the small universe they live in: two sites, a randomisation list, made through actions.

universe.chen       coordinator at site 01          universe.maria    monitor
universe.wang       investigator at site 01         universe.david    data manager
universe.zhao       pharmacist at site 01           universe.sofia    statistician
universe.li         coordinator at site 02          universe.samuel   safety officer
universe.dora       DSMB member                     universe.ada      administrator
universe.dan        DSMB member                     universe.ines     inspector
"""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

from django.conf import settings
from django.test import Client

from patients import demo as patient_steps
from safety import actions as safety_actions
from trialsite import actions, demo, presence, sign_in
from trialsite.clock import today_at
from trialsite.models import User
from trialsite.roles import Role
from trialsite.saving import signature_of
from visits import demo as visit_steps

PASSWORD = "a-long-word-for-tests-1905"

CAST = {
    "chen": ("Chen Wei", Role.COORDINATOR, "01"),
    "wang": ("Wang Jun", Role.INVESTIGATOR, "01"),
    "zhao": ("Zhao Min", Role.PHARMACIST, "01"),
    "li": ("Li Na", Role.COORDINATOR, "02"),
    "maria": ("Maria Monti", Role.MONITOR, None),
    "david": ("David Dao", Role.DATA_MANAGER, None),
    "sofia": ("Sofia Stern", Role.STATISTICIAN, None),
    "samuel": ("Samuel Said", Role.SAFETY_OFFICER, None),
    "dora": ("Dora Dung", Role.DSMB_MEMBER, None),
    "ada": ("Ada Adler", Role.ADMINISTRATOR, None),
    "ines": ("Ines Iser", Role.INSPECTOR, None),
    "dan": ("Dan Drei", Role.DSMB_MEMBER, None),
}


def zone_where_it_is_afternoon():
    """A zone in which a day's infusion lies in the past, and whose day is that of UTC: the tests run at any hour."""
    ends = {4: "Pacific/Auckland", 14: "Asia/Shanghai", 21: "Europe/Berlin", 24: "America/New_York"}
    hour = datetime.now(UTC).hour
    return next(zone for end, zone in ends.items() if hour < end)


class Universe:
    """Sites and people; the methods take a patient as far as a test needs, each through the actions."""

    def __init__(self):
        self.system = User.objects.system()
        self.site, self.other_site = demo.make_sites(2, timezone=zone_where_it_is_afternoon(), by=self.system)
        sites = {self.site.code: self.site, self.other_site.code: self.other_site}
        for username, (full_name, role, code) in CAST.items():
            user = actions.create_account(
                username=username, full_name=full_name, email="", password=PASSWORD, by=self.system
            )
            actions.grant_role(user=user, role=role, site=sites.get(code), reason="cast of the tests", by=self.system)
            setattr(self, username, User.objects.get(pk=user.pk))
        patient_steps.make_list(by=self.sofia)

    def screened(self, site=None, by=None, **kwargs):
        """A patient in screening who has consented, with histories."""
        return patient_steps.screen_and_consent(site=site or self.site, by=by or self.chen, **kwargs)

    def with_results(self, **kwargs):
        patient = self.screened(**kwargs)
        visit_steps.enter_screening(patient=patient, by=kwargs.get("by") or self.chen)
        return patient

    def eligible(self, **kwargs):
        patient = self.with_results(**kwargs)
        # some days after the results, so that tests may begin the treatment before today
        on = min(patient.screened_on + timedelta(days=3), today_at(patient.site))
        return patient_steps.make_eligible(patient=patient, by=kwargs.get("by") or self.chen, on=on)

    def randomised(self, day_0=None, **kwargs):
        return patient_steps.randomise(patient=self.eligible(**kwargs), by=kwargs.get("by") or self.chen, day_0=day_0)

    def infused(self, number=1, **kwargs):
        patient = self.randomised(**kwargs)
        visit_steps.give_infusion(patient=patient, by=self.chen, pharmacist=self.zhao, number=number)
        return patient_steps.fresh(patient)

    def panel(self, patient, visit, code):
        return visit_steps.visit_of(patient, visit).panels.get(code=code)

    def event(self, patient, by=None, **changes):
        return safety_actions.report_adverse_event(
            patient=patient, values={**self.event_values(patient), **changes}, by=by or self.chen
        )

    def event_values(self, patient):
        """A consistent, mild, ongoing adverse event of today."""
        today = demo.timezone.now()
        return {
            "term": "Headache", "began_on": today.date(), "is_ongoing": True, "ended_on": None, "grade": 1,
            "is_serious": False, "relationship": "not_related", "action_taken": "not_applicable",
            "outcome": "not_recovered", "infusion_number": None, "aware_at": today, "narrative": "",
        }  # fmt: skip

    def client(self, user):
        """A browser in which this person has signed in."""
        client = Client()
        come_in(client, user)
        return client


def come_in(client, user):
    """Sign in without the door, and be there."""
    client.force_login(user, backend=sign_in.PASSWORD_BACKEND)
    client.cookies[settings.PRESENCE_COOKIE_NAME] = presence.stamp(client.session.session_key)


class _Form(HTMLParser):
    """The fields of the page's data form, with the values that a browser would send."""

    def __init__(self):
        super().__init__()
        self.sent, self.names = {}, set()
        self.select = self.textarea = None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name = given.get("name")
        if tag in ("input", "select", "textarea") and name:
            self.names.add(name)
        if tag == "input" and name:
            kind = given.get("type", "text")
            if kind in ("checkbox", "radio"):
                if "checked" in given:
                    self.sent.setdefault(name, []).append(given.get("value", "on"))
            elif kind not in ("submit", "button"):
                self.sent[name] = [given.get("value") or ""]
        elif tag == "select" and name:
            self.select, self.sent[name] = name, []
            self.is_first = "multiple" not in given
        elif tag == "option" and self.select:
            value = given.get("value", "")
            if "selected" in given:
                self.sent[self.select] = [value]
                self.is_first = False
            elif self.is_first and not self.sent[self.select]:
                self.sent[self.select] = [value]
        elif tag == "textarea" and name:
            self.textarea, self.sent[name] = name, [""]

    def handle_endtag(self, tag):
        if tag == "select":
            self.select = None
        elif tag == "textarea":
            self.textarea = None

    def handle_data(self, data):
        if self.textarea:
            self.sent[self.textarea][0] += data.removeprefix("\n") if not self.sent[self.textarea][0] else data


def fields_of(response):
    """Name -> list of values, as a browser would send the form of this page unchanged."""
    form = _Form()
    form.feed(response.content.decode())
    return form.sent


def signed(about, token):
    """The token as a page of ours asks it about this record."""
    return f"{token}:{signature_of(about, token)}"


def send(client, url, page=None, **changes):
    """Open the form at `url` (or take `page`, opened before), change these fields, and send it. None leaves one out."""
    page = page or client.get(url)
    assert page.status_code == 200, f"{url} answers {page.status_code}"
    data = {**fields_of(page), **{name: value for name, value in changes.items() if value is not None}}
    for name, value in changes.items():
        if value is None:
            data.pop(name, None)
    return client.post(url, data)
