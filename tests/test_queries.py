"""What pages and saves may cost in SQL statements: counted, never timed. BEGIN, COMMIT and savepoints count."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from patients.models import Patient, State
from safety import actions as safety_actions
from safety import demo as safety_steps
from tests.universe import send
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.exchange.actions import request_export
from trialsite.models import DataExport, OutboxMessage
from trialsite.trial import current_protocol
from visits import actions
from visits import demo as visit_steps
from visits.models import Laboratory, Measurement, PanelRecord, PanelState, Visit, VisitState

PAGE, WHOLE_PANEL, SCREENING_TO_PLAN = 12, 20, 60
WRITES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "MERGE")


def cost(action):
    with CaptureQueriesContext(connection) as queries:
        response = action()
    assert response.status_code in (200, 302), response.content.decode()[:2000]
    return queries.captured_queries


def pages_of(universe, patient):
    """(person, address) of every page that shows records."""
    visit = Visit.objects.get(patient=patient, code="W0")
    panel = visit.panels.get(code="chemistry")
    event, query = patient.adverse_events.first(), patient.queries.first()
    deviation = patient.deviations.first()
    coordinator = [
        "/", "/patients/", f"/patients/{patient.pk}/", f"/patients/{patient.pk}/background/", "/patients/screen/",
        f"/patients/{patient.pk}/consent/", f"/patients/{patient.pk}/lines/art/", f"/patients/{patient.pk}/disposition/",
        f"/patients/{patient.pk}/eligibility/", "/visits/", f"/visits/{visit.pk}/", f"/visits/{visit.pk}/infusion/",
        f"/visits/unscheduled/{patient.pk}/", f"/visits/panels/{panel.pk}/", "/visits/queries/", "/visits/queries/checks/",
        f"/visits/queries/{query.pk}/", "/safety/listings/events/", f"/safety/events/{event.pk}/",
        f"/safety/events/{event.pk}/change/", f"/safety/events/report/{patient.pk}/",
        "/safety/listings/deviations/", "/safety/deviations/proposals/",
        f"/safety/deviations/of/{patient.pk}/", f"/safety/deviations/{deviation.pk}/",
        f"/safety/deviations/{deviation.pk}/change/", f"/safety/deviations/record/{patient.pk}/",
        f"/safety/deviations/record/{patient.pk}/?proposal=volume_off_limits%3A1",
        f"/safety/deviations/dismiss/{patient.pk}/?proposal=volume_off_limits%3A1",
        f"/history/safety/deviation/{deviation.pk}/", "/safety/results/", f"/safety/results/?patient={patient.pk}",
        "/safety/start/results/", f"/safety/results/of/{patient.pk}/",
        "/patients/halts/", "/safety/stopping/", "/safety/stopping/rules/RELATED_G3/", "/visits/calendar/", "/protocol/", "/safety/start/unjudged/",
        f"/history/patients/patient/{patient.pk}/", f"/history/visits/panelrecord/{panel.pk}/",
        f"/history/visits/infusion/{visit.infusion.pk}/",
    ]  # fmt: skip
    preparing = f"/visits/{Visit.objects.get(patient=patient, code='W4').pk}/prepare/"
    copy = patient.casebooks.get()
    coordinator += [f"/safety/casebook/{patient.pk}/", f"/safety/casebook/{patient.pk}/copy/", f"/safety/copies/{copy.pk}/",
                    f"/safety/copies/{copy.pk}/progress/"]  # fmt: skip
    for address in coordinator:
        yield universe.chen, address
    for address in (
        "/",
        "/visits/queries/checks/",
        "/visits/lots/",
        f"/visits/lots/{visit.preparation.lot_id}/",
        "/visits/lots/receive/",
        preparing,
    ):
        yield universe.zhao, address
    for address in (
        "/",
        "/patients/allocation/",
        "/safety/stopping/",
        "/safety/stopping/rules/PATIENT_G3/",
        "/safety/stopping/simulator/?kind=pocock&patients=30&acceptable_rate=0.2&alpha=0.1&rates=0.2",
        "/safety/reports/",
        "/safety/reports/new/",
        "/exports/",
        "/exports/new/",
        f"/exports/{DataExport.objects.get().pk}/",
        "/visits/",
        "/safety/listings/events/",
        "/safety/listings/deviations/",
    ):
        yield universe.sofia, address
    yield universe.david, "/safety/deviations/proposals/"
    yield universe.david, "/safety/start/to-code/"
    dictionary = f"dictionaries/{patient.codings.first().dictionary_id}/"
    for address in (
        "",
        "?state=approved",
        "approve/",
        "dictionaries/",
        dictionary,
        f"{dictionary}use/",
        f"adverse_event/{event.pk}/",
        "suggest/?term=hedache",
    ):
        yield universe.david, f"/safety/coding/{address}"
    yield universe.samuel, f"/safety/coding/codes/{patient.codings.first().pk}/reject/"
    laboratory = Laboratory.objects.get()
    for address in (
        "",
        f"{laboratory.pk}/",
        f"{laboratory.pk}/?all=1",
        f"{laboratory.pk}/add/",
        f"{laboratory.pk}/import/?present=1",
    ):
        yield universe.david, f"/visits/laboratories/{address}"
    for person in (universe.david, universe.chen):
        yield person, f"/visits/laboratories/ranges/{laboratory.ranges.filter(test='ALT', sex=patient.sex).last().pk}/"
    for person in (universe.maria, universe.david, universe.samuel, universe.dora, universe.ines, universe.ada):
        yield person, "/"
    record = f"patients/artregimen/{patient.artregimens.first().pk}/"
    for address in (
        f"/visits/queries/{query.pk}/", "/visits/queries/?state=all&kind=check&older=7&whose=turn&sort=oldest",
        f"/visits/queries/?patient={patient.pk}", f"/visits/queries/about/{record}", f"/visits/{visit.pk}/infusion/query/",
    ):  # fmt: skip
        yield universe.maria, address
    yield universe.david, "/visits/queries/checks/implausible-CD4/retire/"
    for person, step in ((universe.maria, "verify"), (universe.david, "review"), (universe.wang, "sign")):
        yield person, f"/visits/check/{step}/"
        yield person, f"/visits/check/{step}/waiting/"
        yield person, f"/visits/check/{step}/visit/{visit.pk}/"
        yield person, f"/visits/check/{step}/patient/{patient.pk}/"
        yield person, f"/visits/check/{step}/record/visits/panelrecord/{panel.pk}/"
        yield person, f"/visits/{visit.pk}/"
        yield person, f"/visits/panels/{panel.pk}/"
    for address in (f"/visits/{visit.pk}/hold/", f"/visits/patients/{patient.pk}/hold/", "/visits/freeze/"):
        yield universe.david, address
    case = patient.cases.get()
    for page in ("", f"{case.pk}/", f"{case.pk}/report/", f"{case.pk}/records/", f"{case.pk}/sent/",
                 f"submissions/{case.submissions.get().pk}/answer/", f"versions/{case.versions.get().pk}/cioms/"):  # fmt: skip
        yield universe.chen, f"/safety/cases/{page}"
    for page in ("", f"{case.pk}/", f"{case.pk}/judge/", f"{case.pk}/freeze/", f"{case.pk}/known/", f"{case.pk}/sent/"):
        yield universe.samuel, f"/safety/cases/{page}"
    yield universe.samuel, "/emails/"
    yield universe.ada, "/accounts/"
    yield universe.ada, f"/accounts/{universe.chen.pk}/"


@pytest.fixture
def patient(universe):
    """A patient with an infusion, an adverse event, a query, a deviation and one that is proposed; and a laboratory."""
    visit_steps.make_laboratory(site=universe.site, protocol=current_protocol(), on=date(2000, 1, 1), by=universe.david)
    patient = universe.infused()
    visit_steps.change_ranges(
        laboratory=Laboratory.objects.get(), tests=("ALT",), on=patient.screened_on, by=universe.david
    )
    case = universe.event(patient, is_serious=True, is_important=True, grade=3).case
    safety_actions.report_case(case=case, version=None, by=universe.chen)
    universe.event(patient)
    safety_steps.record_deviation(patient=patient, by=universe.chen)
    with acting(universe.chen, "less than was planned"):
        patient.infusions.update(volume_ml=1)
    sites = [universe.site.pk, universe.other_site.pk]
    request_export(cutoff=timezone.now(), sites=sites, kinds=["patients"], by=universe.sofia)
    safety_actions.request_casebook(patient=patient, cutoff=timezone.now(), language="en", by=universe.chen)
    panel = universe.panel(patient, "SCR", "chemistry")
    actions.raise_query(panel=panel, test="ALT", text="Please check.", by=universe.maria)
    visit = Visit.objects.get(patient=patient, code="W0")
    for panel in visit.panels.filter(state=PanelState.EXPECTED):
        from visits.demo import enter_panel

        enter_panel(panel=panel, by=universe.chen)
    return patient


def crowd(universe, number):
    """Many more patients, each with visits and panels, straight into the tables: only the number matters."""
    first = Patient.objects.count()
    with acting(universe.system):
        patients = Patient.objects.bulk_create(
            Patient(
                site=universe.site, sequence=n, number=f"01-{n:04d}", sex="F", birth_date="1980-01-01",
                screened_on="2026-01-01", state=State.RANDOMISED, day_0="2026-01-10", protocol_version="1.0",
            )
            for n in range(first + 100, first + 100 + number)
        )  # fmt: skip
        visits = Visit.objects.bulk_create(
            Visit(
                patient=patient, code=code, protocol_version="1.0", day=0, planned_on="2026-01-10",
                earliest="2026-01-10", latest="2026-01-12", state=VisitState.PLANNED,
            )
            for patient in patients for code in ("W0", "W4")
        )  # fmt: skip
        laboratory = Laboratory.objects.get()
        panels = PanelRecord.objects.bulk_create(
            PanelRecord(
                patient_id=visit.patient_id,
                visit=visit,
                code="chemistry",
                protocol_version="1.0",
                state="entered",
                laboratory=laboratory,
                collected_on="2026-01-10",
            )
            for visit in visits
        )
        Measurement.objects.bulk_create(
            Measurement(
                patient_id=panel.patient_id, panel=panel, test="ALT", typed="60", value=60, unit="U/L",
                collected_on="2026-01-10",
            )
            for panel in panels
        )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT fresh_statistics()")


def test_every_page_costs_few_statements_and_writes_nothing(universe, patient):
    too_dear, writing = [], []
    for person, address in pages_of(universe, patient):
        browser = universe.client(person)
        queries = cost(lambda browser=browser, address=address: browser.get(address))
        if len(queries) > PAGE:
            too_dear.append((len(queries), person.username, address))
        writing += [(address, q["sql"][:100]) for q in queries if q["sql"].lstrip().upper().startswith(WRITES)]
    assert not too_dear
    assert not writing


def test_pages_cost_the_same_with_a_thousand_patients(universe, patient):
    def all_costs():
        costs = {}
        for person, address in pages_of(universe, patient):
            browser = universe.client(person)
            queries = cost(lambda browser=browser, address=address: browser.get(address))
            costs[person.username, address] = len(queries)
        return costs

    crowd(universe, 40)
    with_some = all_costs()
    crowd(universe, 1000)
    with_many = all_costs()
    assert with_many == with_some
    assert max(with_many.values()) <= PAGE


def test_a_whole_panel_is_saved_with_few_statements(universe):
    patient = universe.screened()
    browser = universe.client(universe.chen)
    for panel in Visit.objects.get(patient=patient, code="SCR").panels.all():
        address = f"/visits/panels/{panel.pk}/"
        page = browser.get(address)
        from visits.demo import body_of

        body = body_of(patient)
        values = {
            test.code: body.typed(test, 0, "SCR") for test in patient.protocol.tests_of(panel.code) if not test.computed
        }
        today = (patient.screened_on + timedelta(days=1)).isoformat()
        first = cost(lambda: send(browser, address, page=page, collected_on=today, **values))  # noqa: B023
        assert len(first) <= WHOLE_PANEL, panel.code
        changed = cost(lambda: send(browser, address, comment="seen", reason="source checked"))  # noqa: B023
        opened = len(cost(lambda: browser.get(address)))  # noqa: B023
        assert len(changed) - opened <= WHOLE_PANEL, panel.code


def test_a_panel_of_a_laboratory_is_saved_with_few_statements(universe):
    """Ranges are taken, and taken anew when laboratory and day are changed."""
    patient = universe.screened()
    protocol, first = patient.protocol, patient.screened_on
    laboratories = [
        visit_steps.make_laboratory(site=site, protocol=protocol, on=date(2000, 1, 1), by=universe.david)
        for site in (universe.site, universe.other_site)
    ]
    panel = universe.panel(patient, "SCR", "chemistry")
    body = visit_steps.body_of(patient)
    values = {test.code: body.typed(test, 0, "SCR") for test in protocol.tests_of("chemistry") if not test.computed}

    def save(**more):
        with CaptureQueriesContext(connection) as queries:
            actions.record_panel(
                panel=panel, values=values, version=None, by=universe.chen, **{"collected_on": first, **more}
            )
        return len(queries)

    with acting(universe.system, "for the test"):
        laboratories[1].site = None
        laboratories[1].save()
    assert save(laboratory=laboratories[0]) <= WHOLE_PANEL
    changed = save(laboratory=laboratories[1], collected_on=first + timedelta(days=1), reason="wrong laboratory")
    assert changed <= WHOLE_PANEL
    assert set(Measurement.objects.filter(panel=panel, low__isnull=False).values_list("reference__laboratory", flat=True)) == {
        laboratories[1].pk
    }  # fmt: skip


def test_from_screening_to_the_plan_takes_few_statements(universe):
    browser = universe.client(universe.chen)
    total = []

    def post(address, **changes):
        page = browser.get(address)
        total.extend(cost(lambda: send(browser, address, page=page, **changes)))

    today = universe.event_values(None)["began_on"]
    post("/patients/screen/", sex="M", birth_date="1980-02-02", screened_on=today.isoformat())
    patient = Patient.objects.get()
    post(f"/patients/{patient.pk}/consent/", signed_on=today.isoformat(), obtained_by="Dr Wang")
    from patients.demo import enter_histories
    from visits.demo import enter_screening

    enter_histories(patient=patient, on=today, by=universe.chen)
    enter_screening(patient=patient, by=universe.chen)
    address = f"/patients/{patient.pk}/eligibility/"
    answers = {
        f"holds_{c.code}": "N" if patient.protocol.eligibility.is_exclusion(c.code) else "Y"
        for c in patient.protocol.criteria_for("M")
    }
    post(address, **answers)
    post(f"/patients/{patient.pk}/randomise/", day_0=today.isoformat())
    patient.refresh_from_db()
    assert patient.state == State.RANDOMISED
    assert patient.visits.count() == len(patient.protocol.visits)
    assert len(total) <= SCREENING_TO_PLAN, "\n".join(q["sql"][:120] for q in total)


def test_a_result_that_later_ones_are_compared_with_is_changed_with_few_statements(universe, patient):
    """A whole panel: edit checks of all forms, ranges, grades, marks made void, and the job that grades the later ones."""
    browser, today = universe.client(universe.chen), today_at(universe.site)
    patient = universe.infused(day_0=today - timedelta(days=2))
    later = universe.panel(patient, "W1", "chemistry")
    actions.record_panel(panel=later, values={"CREAT": "80"}, collected_on=today, version=None, by=universe.chen)
    panel = universe.panel(patient, "SCR", "chemistry")
    address = f"/visits/panels/{panel.pk}/"
    stored = {m.test: m.typed for m in panel.measurements.exclude(typed="")}
    others = {code: typed[:-1] + str(9 - int(typed[-1])) for code, typed in stored.items() if typed[-1].isdigit()}
    values = stored | others
    page = browser.get(address)
    laboratory = Laboratory.objects.get().pk
    waiting = OutboxMessage.objects.filter(task=actions.REGRADE).count()
    changed = cost(
        lambda: send(browser, address, page=page, laboratory=laboratory, reason="source checked again", **values)
    )
    assert OutboxMessage.objects.filter(task=actions.REGRADE).count() == waiting + 1
    assert panel.measurements.filter(version__gt=1).count() == len(others) > 8
    assert len(changed) <= WHOLE_PANEL, "\n".join(query["sql"][:150] for query in changed)
