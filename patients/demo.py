"""The steps of the demonstration, and of the tests' universe, about who is in the trial and how they entered.

Each step calls the actions as the browser does and gives what it made. Dates are left out where a day that makes sense
follows from today; `seed` decides what the patient brings along (age, histories, treatment)."""

from datetime import date, timedelta

from patients import actions, randomisation
from patients.models import ArtRegimen, HivHistory, MedicalHistory, Medication, Patient, Sex, State
from trialsite import trial
from trialsite.clock import today_at
from trialsite.demo import chance
from trialsite.models import Site

REGIMENS = (
    "TDF + 3TC + EFV",
    "TDF + 3TC + DTG",
    "AZT + 3TC + EFV",
    "ABC + 3TC + DTG",
    "TDF + 3TC + LPV/r",
    "BIC + FTC + TAF",
)
EARLIER_REGIMENS = (
    ("AZT + 3TC + NVP", "Rash"),
    ("TDF + 3TC + EFV", "Dizziness, poor sleep"),
    ("AZT + 3TC + EFV", "Anaemia"),
    ("TDF + 3TC + NVP", "Simplified to one tablet a day"),
)
CONDITIONS = (
    "Chronic gastritis", "Hypertension", "Hyperlipidaemia", "Appendicectomy", "Syphilis, treated", "Allergic rhinitis",
    "Herpes zoster", "Seborrhoeic dermatitis", "Renal calculus", "Depressive episode",
)  # fmt: skip
# what is taken beside the antiretroviral treatment: medication, given for, dose, unit, frequency
TAKEN = (
    ("Trimethoprim/sulfamethoxazole", "Prophylaxis of pneumocystis pneumonia", "960", "mg", "once a day"),
    ("Atorvastatin", "Hyperlipidaemia", "20", "mg", "once a day"),
    ("Amlodipine", "Hypertension", "5", "mg", "once a day"),
    ("Omeprazole", "Chronic gastritis", "20", "mg", "once a day"),
    ("Cholecalciferol", "", "800", "IU", "once a day"),
)


def in_words(day, precision):
    """A date as patients remember it: "2016", "2016-05" or "2016-05-14"."""
    return day.isoformat()[: {"year": 4, "month": 7, "day": 10}[precision]]


# --- screening -------------------------------------------------------------------------------------


def screen_and_consent(*, site, by, on=None, sex=Sex.FEMALE, birth_date=None, with_histories=True, seed=1):
    """A new patient who has signed the newest consent form, with histories and antiretroviral treatment."""
    on = on or today_at(site) - timedelta(days=7)
    lot = chance(seed, "birth")
    birth_date = birth_date or on - timedelta(days=lot.randint(24 * 365, 60 * 365))
    patient = actions.screen_patient(site=site, sex=sex, birth_date=birth_date, screened_on=on, by=by)
    sign_consent(patient=patient, on=on, by=by)
    if with_histories:
        enter_histories(patient=patient, on=on, by=by, seed=seed)
    return fresh(patient)


def fresh(patient):
    """The patient as the database has it now."""
    return Patient.objects.select_related("site").get(pk=patient.pk)


def sign_consent(*, patient, on, by):
    """A consent, or a later one: on the newest form that is not younger than the day."""
    form = [form for form in patient.protocol.consent_forms if form.dated <= on][-1]
    return actions.record_consent(
        patient=patient, form_version=form.version, language=form.languages[0], signed_on=on,
        obtained_by=f"Dr {by.full_name}", version=None, by=by,
    )  # fmt: skip


def enter_histories(*, patient, on, by, seed=1):
    """HIV history, antiretroviral treatment for more than two years, medical history, medication. Gives the patient."""
    lot = chance(seed, "histories")

    def add(model, **values):
        return actions.save_line(model=model, patient=patient, values=values, by=by)

    treated_since = on - timedelta(days=lot.randint(4 * 365, 11 * 365))
    diagnosed = treated_since - timedelta(days=lot.randint(20, 900))
    nadir = lot.randint(8, 130)
    add(
        HivHistory,
        diagnosed_on=in_words(diagnosed, lot.choice(["year", "month", "month", "day"])),
        route=lot.choice(["heterosexual", "heterosexual", "msm", "blood", "unknown"])
        if patient.sex == Sex.MALE
        else lot.choice(["heterosexual", "heterosexual", "blood", "unknown"]),
        cdc_stage=lot.choice("AABB"),
        nadir_cd4=nadir,
        nadir_on=in_words(treated_since - timedelta(days=10), "month"),
        opportunistic_infections=lot.choice(["", "", "Oral candidiasis"]),
        hepatitis_b=lot.choice(["negative"] * 5 + ["unknown"]),
    )
    began = in_words(treated_since, lot.choice(["month", "month", "day"]))
    now_taken = lot.choice(REGIMENS)
    if lot.random() < 0.5:
        drugs, why = lot.choice([r for r in EARLIER_REGIMENS if r[0] != now_taken])
        changed = treated_since + timedelta(days=lot.randint(200, 900))
        add(
            ArtRegimen, drugs=drugs, started_on=began, is_ongoing=False, ended_on=in_words(changed, "month"),
            change_reason=why,
        )  # fmt: skip
        began = in_words(changed + timedelta(days=1), "month")
    add(ArtRegimen, drugs=now_taken, started_on=began, is_ongoing=True)
    for term in lot.sample(CONDITIONS, lot.choice([0, 1, 1, 2, 3])):
        began_on = on - timedelta(days=lot.randint(300, 6000))
        is_ongoing = lot.random() < 0.5
        ended_on = began_on + timedelta(days=lot.randint(14, 250))
        add(
            MedicalHistory, term=term, started_on=in_words(began_on, lot.choice(["year", "month"])),
            is_ongoing=is_ongoing, ended_on="" if is_ongoing else in_words(ended_on, "month"),
        )  # fmt: skip
    taken = [TAKEN[0], *lot.sample(TAKEN[1:], lot.choice([0, 0, 1, 2]))] if nadir < 110 else []
    for treatment, indication, dose, unit, frequency in taken:
        began_on = treated_since + timedelta(days=lot.randint(0, 900))
        add_medication(
            patient=patient, treatment=treatment, indication=indication, dose=dose, unit=unit, frequency=frequency,
            started_on=in_words(began_on, lot.choice(["year", "month"])), by=by,
        )  # fmt: skip
    return patient


def add_medication(
    *, patient, treatment, indication="", dose="500", unit="mg", frequency="as needed", started_on, ended_on="", by
):
    """A medication; without `ended_on` it goes on."""
    values = {
        "treatment": treatment, "indication": indication, "dose": dose, "dose_unit": unit, "frequency": frequency,
        "route": "oral", "started_on": started_on, "is_ongoing": not ended_on, "ended_on": ended_on,
    }  # fmt: skip
    return actions.save_line(model=Medication, patient=patient, values=values, by=by)


# --- eligibility -------------------------------------------------------------------------------------


def answer_criteria(*, patient, by, on=None):
    """Answer each criterion as the results say, and in the patient's favour where a person must judge.

    Gives the assessment: the patient is eligible when the results allow it."""
    on = on or today_at(patient.site)
    protocol, answers, comments = patient.protocol, {}, {}
    for finding in actions.findings_about(patient, on):
        code, is_exclusion = finding.criterion.code, protocol.eligibility.is_exclusion(finding.criterion.code)
        answers[code] = not is_exclusion if finding.holds is None else finding.holds
        if finding.criterion.rule is None and not is_exclusion:
            comments[code] = "Source seen."
    return actions.assess_eligibility(
        patient=patient, assessed_on=on, answers=answers, comments=comments, version=None, by=by
    )


def make_eligible(*, patient, by, on=None):
    """The patient, after an assessment in which every criterion is met. Raises AssertionError when one is not."""
    assessment = answer_criteria(patient=patient, by=by, on=on)
    assert assessment.is_eligible, f"{patient}: {assessment.unmet} not met"  # noqa: S101
    return fresh(patient)


def fail_screening(*, patient, by, on=None, explanation=""):
    """The screen failure's disposition. Without an explanation it names the criteria that were not met."""
    on = on or today_at(patient.site)
    return actions.record_disposition(
        patient=patient, state=State.SCREEN_FAILED, on=on, explanation=explanation, version=None, by=by
    )


# --- randomisation -----------------------------------------------------------------------------------

# how many seeds are tried for a list that gives the planned numbers
TRIES = 5000


def make_list(*, by, seed=1, strata=None, slots_per_stratum=None):
    """The randomisation list.

    `strata` says how many patients will be randomised in each stratum: then the first of the seeds "1-0", "1-1" ...
    (for seed 1) is taken whose list gives them the arms in the protocol's ratio, so that 13 patients of the pilot are
    7 and 6 wherever they enter. A real trial's statistician chooses the seed blindly."""
    protocol, strata = trial.current_protocol(), strata or {}
    slots_per_stratum = slots_per_stratum or max(20, *(n + 10 for n in strata.values()), 20)
    if protocol.allocation.method != "permuted_blocks":
        return _import_list(protocol, slots_per_stratum, by)
    chosen = f"{seed}-0"
    if strata:
        wanted = planned_numbers(protocol, sum(strata.values()))

        def distance(candidate):
            numbers = arms_of_first(protocol, strata, candidate)
            return sum(abs(numbers[code] - wanted[code]) for code in wanted)

        candidates = (f"{seed}-{k}" for k in range(TRIES))
        chosen = next((c for c in candidates if distance(c) == 0), chosen)
    return actions.make_allocation_list(slots_per_stratum=slots_per_stratum, seed=chosen, by=by)


def planned_numbers(protocol, patients):
    """How many patients each arm gets by its ratio; what is left over goes to the first arms."""
    whole = sum(arm.ratio for arm in protocol.arms)
    numbers = {arm.code: patients * arm.ratio // whole for arm in protocol.arms}
    for arm in protocol.arms[: patients - sum(numbers.values())]:
        numbers[arm.code] += 1
    return numbers


def arms_of_first(protocol, strata, seed):
    """How many of the first places of each stratum (as many as `strata` says) each arm has in the list of a seed."""
    numbers = {arm.code: 0 for arm in protocol.arms}
    for stratum, n in strata.items():
        for slot in randomisation.make_list(protocol, [stratum], n, seed)[:n]:
            numbers[slot.arm] += 1
    return numbers


def _import_list(protocol, slots_per_stratum, by):
    """For a protocol whose list comes from elsewhere: the arms in turn, each as often as its ratio says."""
    turn = [arm.code for arm in protocol.arms for _ in range(arm.ratio)]
    slots = [
        randomisation.Slot(stratum, place + 1, None, None, turn[place % len(turn)])
        for stratum in randomisation.strata(protocol, Site.objects.values_list("code", flat=True))
        for place in range(slots_per_stratum)
    ]
    return actions.import_allocation_list(text=randomisation.to_csv(slots), by=by)


def randomise(*, patient, by, day_0=None):
    """The patient, randomised; day 0 is planned for today unless given."""
    day_0 = day_0 or today_at(patient.site)
    return fresh(actions.randomise_patient(patient=patient, day_0=day_0, version=None, by=by))


# --- the end of the way --------------------------------------------------------------------------------


def end_participation(*, patient, state=State.COMPLETED, on=None, explanation="", by):
    """The disposition of a patient who completed, withdrew, was lost or died."""
    on: date = on or today_at(patient.site)
    return actions.record_disposition(patient=patient, state=state, on=on, explanation=explanation, version=None, by=by)
