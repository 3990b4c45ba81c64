"""The CIOMS I form of a version of a case, as a PDF: the only place that knows its fields.

The labels are those of the form, in English; what people wrote stands as they wrote it. In a masked trial every copy names
all products, as masked, but the authority's (`authority_pdf`), whose making is written down; in an open one the product is
named for eyes that may see arms. Equal versions and eyes give equal bytes."""

import json
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from django.utils import translation

from patients.arms import arms_seen_by
from safety.challenge import abated, infusions_after, infusions_before, reappeared
from safety.clocks import Facts
from safety.dsmb.render import pdf_of
from safety.models import Outcome, Relationship
from trialsite import trial
from trialsite.ucum import unit_text
from visits.models import Flag, Preparation

TEMPLATE = Path(__file__).with_name("cioms.typ")
MASKED = "masked"


def cioms_pdf(version, user):
    """The form of this version of a case, for the eyes of this person. Raises NotTypeset."""
    arms = {} if trial.current_protocol().is_masked else arms_seen_by(user, [version.patient])
    return _typeset(version, arms.get(version.patient_id))


def authority_pdf(version, user):
    """The form with the product named: for who may see the arm, and was written down (`actions.make_authority_copy`)."""
    return _typeset(version, arms_seen_by(user, [version.patient])[version.patient_id])


def _typeset(version, arm):
    lots = lots_of(version) if arm else ()
    with translation.override("en"):
        form = form_of(version, arm, lots)
    return pdf_of(TEMPLATE, json.dumps(form, ensure_ascii=False).encode())


def lots_of(version):
    """(infusion, lot number) of what the patient was given. They tell the arm, and so stand in no frozen content."""
    given = Preparation.objects.filter(patient=version.patient_id, infusion__isnull=False)
    return list(given.order_by("number").values_list("number", "lot__number"))


def form_of(version, arm, lots=()):
    """What stands in each field, by its number; `arm` is None for masked eyes, which see no lots either."""
    content = version.content
    protocol = trial.protocol(content["trial"]["version"])
    event, patient, zone = content["event"], content["patient"], ZoneInfo(content["patient"]["zone"])
    onset, ended = date.fromisoformat(event["began_on"]), event["ended_on"]
    infusions = [(i["number"], local(i["started_at"], zone).date()) for i in content["infusions"]]
    before = infusions_before(infusions, onset, event["infusion_number"])
    again = infusions_after(infusions, onset, event["infusion_number"])
    given = [i for i in content["infusions"] if i["number"] in before]
    given_again_on = min((day for number, day in infusions if number in again), default=None)
    came_again = any(date.fromisoformat(day) >= given_again_on for day in content.get("came_again", []) if again)
    suspects = [drug for drug in content["medications"] if drug["suspect"]]
    others = [drug for drug in content["medications"] if not drug["suspect"]]
    name, dose = product_of(protocol, arm)
    is_initial = is_initial_report(version, protocol)
    batches = lots_told([(number, lot) for number, lot in lots if number in before]) if arm else ""
    return {
        "number": content["case"]["number"],
        "version": _version_told(version, is_initial),
        "digest": version.digest,
        "is_unmasked": bool(arm) and protocol.is_masked,
        "trial": protocol.trial.short_title,
        "registry": protocol.trial.registry,
        "1": patient["number"],
        "1a": patient["country"],
        "2": str(patient["birth_year"]),
        "2a": str(patient["age"]),
        "3": {"F": "Female", "M": "Male"}[patient["sex"]],
        "4-6": onset.isoformat(),
        "7+13": description(content, protocol, onset, ended),
        "8-12": [{"label": LABELS[name], "ticked": event[name]} for name in LABELS],
        "14": [f"#1 {name}{batches}", *(f"#{n} {drug['treatment']}" for n, drug in enumerate(suspects, 2))],
        "15": [f"#1 {dose}", *(f"#{n} {dose_of(drug)}" for n, drug in enumerate(suspects, 2))],
        "16": [
            f"#1 {protocol.infusions.route if protocol.infusions else '–'}",
            *(f"#{n} {drug['route'] or '–'}" for n, drug in enumerate(suspects, 2)),
        ],
        "17": [
            f"#1 {protocol.trial.indication or protocol.trial.short_title}",
            *(f"#{n} {drug['indication'] or '–'}" for n, drug in enumerate(suspects, 2)),
        ],
        "18": [f"#1 {dates_given(given, zone)}", *(f"#{n} {span_of(drug)}" for n, drug in enumerate(suspects, 2))],
        "19": [f"#1 {duration(given, zone)}"],
        "20": abated(was_treated=bool(before), action_taken=event["action_taken"], outcome=event["outcome"]),
        "21": reappeared(given_again=again, answer=event.get("reappeared", ""), came_again=came_again),
        "22": [f"{drug['treatment']}, {dose_of(drug)}, {span_of(drug)}" for drug in others]
        + [f"{regimen['drugs']} (antiretroviral), {span_of(regimen)}" for regimen in content["regimens"]],
        "23": history(content),
        "sponsor": protocol.trial.sponsor,
        "24a": "\n".join(
            filter(None, (protocol.trial.sponsor, protocol.trial.sponsor_address or protocol.trial.registry))
        ),
        "24b": content["case"]["number"],
        "24c": f"{received_at(version).astimezone(zone):%Y-%m-%d}",
        "24d": ["study"],
        "date": f"{version.made_at.astimezone(zone):%Y-%m-%d}",
        "25a": "initial" if is_initial else "followup",
        "25b": f"{content['reporter']['name']}, {patient['site']}",
        "26": remarks(version, given_again_on),
    }


# the boxes of fields 8 to 12, and the two that later editions add
LABELS = {
    "is_fatal": "PATIENT DIED",
    "is_hospitalisation": "INVOLVED OR PROLONGED INPATIENT HOSPITALISATION",
    "is_disability": "INVOLVED PERSISTENCE OR SIGNIFICANT DISABILITY OR INCAPACITY",
    "is_life_threatening": "LIFE THREATENING",
    "is_congenital": "CONGENITAL ANOMALY",
    "is_important": "OTHER MEDICALLY IMPORTANT CONDITION",
}


def is_initial_report(version, protocol):
    """Field 25a: the first version; and a later one that goes to an authority to which none went before it was frozen."""
    if version.number == 0:
        return True
    authorities = [duty.code for duty in protocol.safety_reporting if duty.to == "authority"]
    facts = version.case.facts.filter(known_at__lte=version.made_at).order_by("pk").last()
    if not authorities or facts is None:
        return False
    if not Facts(facts.is_serious, facts.is_grave, facts.is_suspected, facts.is_unexpected).is_susar:
        return False
    return not version.case.submissions.filter(
        duty__in=authorities, case_version__number__lt=version.number, recorded_at__lt=version.made_at
    ).exists()


def _version_told(version, is_initial):
    if version.number == 0:
        return "Initial"
    return f"Initial, version {version.number}" if is_initial else f"Follow-up {version.number}"


def local(instant, zone):
    return datetime.fromisoformat(instant).astimezone(zone)


def product_of(protocol, arm):
    """(name, dose) of the suspect product: of the arm where it may be seen, or of all arms, masked."""
    if arm is None:
        names = sorted(
            {protocol.product(each.product).name for each in protocol.arms}
        )  # in an order that tells nothing
        return f"{' or '.join(names)} ({MASKED})", MASKED
    product = protocol.product(protocol.arm(arm).product)
    amount = product.dose.per_kg or product.dose.absolute
    per_kg = " per kg" if product.dose.per_kg else ""
    return product.name, f"{amount.normalize():,f} {product.dose.unit}{per_kg}, per infusion"


def lots_told(lots):
    """The lots as they stand behind the name of the product: each with the infusions that were made of it."""
    infusions = {}
    for number, lot in lots:
        infusions.setdefault(lot, []).append(str(number))
    told = (f"{lot} (infusion{'s' if len(of) > 1 else ''} {', '.join(of)})" for lot, of in infusions.items())
    return f"; lot {', '.join(told)}" if infusions else ""


def received_at(version):
    """When the sponsor received what this version tells: a follow-up has its own day, the one from which its clock
    counts. A judgement of the sponsor is nothing received: such a version keeps the day of the one before."""
    earlier = version.case.versions.defer("content").filter(number__lt=version.number).order_by("-number")
    for one in (version, *earlier):
        is_news = any(not name.startswith(("sponsor", "case.")) for name in one.changed) or not one.changed
        if one.number and (one.by_site or is_news):
            return one.made_at
    return datetime.fromisoformat(version.content["case"]["sponsor_knew_at"])


def description(content, protocol, onset, ended):
    """Field 7+13: the reaction, both judgements, the story, the results."""
    event, sponsor = content["event"], content["sponsor"]
    until = f"to {ended}" if ended else "ongoing"
    number = f", after infusion {event['infusion_number']}" if event["infusion_number"] else ""
    code = content.get("code")
    coded = f" ({code['term']}, {code['dictionary']})" if code and code["term"] != event["term"] else ""
    told = [
        f"{event['term']}{coded}, grade {event['grade']}, from {onset} {until}{number}. "
        f"Outcome: {label_of(Outcome, event['outcome'])}.",
        f"Investigator's causality: {label_of(Relationship, event['relationship'])} (product)"
        + (f"; {label_of(Relationship, event['procedure_relationship'])} (procedure)." if event["procedure_relationship"] else "."),
    ]  # fmt: skip
    if sponsor:
        link = {"suspected": "cannot be excluded", "excluded": "excluded"}[sponsor["causality"]]
        told.append(f"Sponsor's causality: {link}; {sponsor['expectedness']}. {sponsor['comment']}")
    told += content["narrative"].splitlines()
    if content["labs"]:
        told.append("Relevant results: " + "; ".join(result_of(lab, protocol) for lab in content["labs"]) + ".")
    return [line for line in told if line.strip()]


def label_of(choices, value):
    return str(choices(value).label)


def result_of(lab, protocol):
    limits = f"{lab['low']} to {lab['high']}" if lab["low"] and lab["high"] else (
        f"up to {lab['high']}" if lab["high"] else f"from {lab['low']}" if lab["low"] else ""
    )  # fmt: skip
    flag = label_of(Flag, lab["flag"]) if lab["flag"] else ""
    around = ", ".join(filter(None, (flag, f"normal {limits}" if limits else "", lab["on"])))
    return f"{protocol.test(lab['test']).name} {lab['result']} {unit_text(lab['unit'])} ({around})"


def dose_of(drug):
    return " ".join(filter(None, (drug["dose"], drug["dose_unit"], drug["frequency"]))) or "dose unknown"


def span_of(line):
    return f"{line['started_on'] or '?'} – {'ongoing' if line['is_ongoing'] else line['ended_on'] or '?'}"


def dates_given(given, zone):
    return ", ".join(f"{local(i['started_at'], zone):%Y-%m-%d}" for i in given) or "not given before the reaction"


def duration(given, zone):
    if not given:
        return "–"
    days = (local(given[-1]["started_at"], zone).date() - local(given[0]["started_at"], zone).date()).days + 1
    return f"{len(given)} infusion{'s' if len(given) > 1 else ''} within {days} day{'s' if days > 1 else ''}"


def history(content):
    told = []
    if content["hiv"]:
        told.append(f"HIV-1 infection since {content['hiv']['diagnosed_on']}, CDC {content['hiv']['stage']}")
    return told + [f"{line['term']}, {span_of(line)}" for line in content["histories"]]


def remarks(version, given_again_on):
    told = [f"Trial {version.content['trial']['id']} ({version.content['trial']['registry']}), "
            f"protocol {version.content['trial']['version']}."]  # fmt: skip
    if given_again_on:
        answer = version.content["event"].get("reappeared")
        told.append(
            f"Given again on {given_again_on}" + ("." if answer else "; not answered yet whether it reappeared.")
        )
    if version.summary:
        told.append(f"New in this version: {version.summary}")
    if version.changed:
        told.append(f"Changed since the last version: {version.changed_told}.")
    return told
