"""Laboratories and their reference ranges. A range is never changed: it is ended, or withdrawn and another one added.

What is stored with a result stays as it is, whatever happens to ranges, until somebody applies a range to the results
that were held against another one, with a reason."""

from dataclasses import dataclass, replace

from django.db.models import Q
from django.utils.translation import gettext as _

from patients.actions import next_version
from patients.models import Hold
from trialsite import trial
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.saving import Refused, check_version
from trialsite.ucum import unit_text
from visits import ranges, results
from visits.actions.panels import as_result, as_stored
from visits.actions.reviews import marks_void
from visits.laboratories import laboratory_tests
from visits.models import Laboratory, Measurement, PanelRecord, ReferenceRange
from visits.ranges import BadCell, BadTable, Range


def known_tests():
    """Every number that a laboratory measures, by its test's code: as the newest of the protocol's versions says."""
    return {t.code: t for p in trial.versions().values() for t in laboratory_tests(p) if t.kind == "number"}


def create_laboratory(*, site, code, name, by):
    """A laboratory that measures for one site, or for all when `site` is None."""
    with acting(by):
        if Laboratory.objects.filter(code=code).exists():
            raise Refused({"code": [_("There is a laboratory with this code already.")]})
        return Laboratory.objects.create(site=site, code=code, name=name)


def change_laboratory(*, laboratory, name, is_active, version, reason, by):
    if not reason.strip():
        raise Refused({"reason": [_("Write why the laboratory is changed.")]})
    with acting(by, reason):
        laboratory = lock_laboratory(laboratory, version)
        laboratory.name, laboratory.is_active = name, is_active
        next_version(laboratory, "name", "is_active")
    return laboratory


def lock_laboratory(laboratory, version=None):
    """Whoever changes ranges of a laboratory waits here for the others who do."""
    locked = Laboratory.objects.select_for_update(of=("self",)).get(pk=laboratory.pk)
    check_version(locked, version)
    return locked


def add_range(
    *, laboratory, test, unit, sex="", from_age=None, to_age=None, low=None, high=None, valid_from, valid_to=None,
    ends_earlier=False, by,
):  # fmt: skip
    """A range of a laboratory. With `ends_earlier`, ranges of an earlier first day that it contradicts end on the day
    before. Refused when it still contradicts one."""
    wanted = Range(test, unit, valid_from, low, high, sex, from_age, to_age, valid_to)
    errors = {}
    for name, text in ranges.faults_of(wanted, known_tests()):
        errors.setdefault(name, []).append(text)
    if errors:
        raise Refused(errors)
    with acting(by, _reason_for(valid_from)):
        laboratory = lock_laboratory(laboratory)
        if refused := _make_room(laboratory, [wanted], ends_earlier):
            raise Refused({"valid_from": [text for _place, text in refused]})
        return _store(laboratory, [wanted])[0]


def _reason_for(day):
    return because("new range from %(day)s", day=day)


def _make_room(laboratory, wanted, ends_earlier):
    """End what the new ranges replace; gives (place in `wanted`, sentence) for each that contradicts a range there."""
    tests = {one.test for one in wanted}
    there = list(laboratory.ranges.standing().filter(test__in=tests).select_for_update())
    by_test = {}
    for held in there:
        by_test.setdefault(held.test, []).append(held)
    refused, ended = [], {}
    for place, one in enumerate(wanted):
        for held in by_test.get(one.test, ()):
            if not ranges.contradict(one, held):
                continue
            if ends_earlier and held.valid_from < one.valid_from and held.pk not in ended:
                ended[held.pk] = held
                held.valid_to = ranges.day_before(one.valid_from)
            else:
                refused.append((place, _overlap_text(held)))
    if not refused:
        for held in ended.values():
            next_version(held, "valid_to")
    return refused


def _overlap_text(held):
    about = {"range": ranges.range_text(held.low, held.high), "unit": unit_text(held.unit), "first": held.valid_from}
    if held.valid_to is None:
        return _("%(range)s %(unit)s holds since %(first)s. End it before, or withdraw it.") % about
    return _("%(range)s %(unit)s holds from %(first)s to %(last)s. End it before, or withdraw it.") % {
        **about, "last": held.valid_to,
    }  # fmt: skip


def _store(laboratory, wanted):
    return ReferenceRange.objects.bulk_create(
        ReferenceRange(laboratory=laboratory, **{name: getattr(one, name) for name in ranges.COLUMNS}) for one in wanted
    )


def end_range(*, held, valid_to, version, reason, by):
    """Say on which day a range holds for the last time, or say it anew."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the range ends.")]})
    with acting(by, reason):
        laboratory = lock_laboratory(held.laboratory)
        held = _lock_range(held, version)
        if valid_to < held.valid_from:
            raise Refused({"valid_to": [_("The range begins later, on %(day)s.") % {"day": held.valid_from}]})
        held.valid_to = valid_to
        others = laboratory.ranges.standing().filter(test=held.test).exclude(pk=held.pk)
        if texts := [_overlap_text(other) for other in others if ranges.contradict(held, other)]:
            raise Refused({"valid_to": texts})
        next_version(held, "valid_to")
    return held


def _lock_range(held, version):
    held = ReferenceRange.objects.select_for_update(of=("self",)).select_related("laboratory").get(pk=held.pk)
    check_version(held, version)
    if held.is_withdrawn:
        raise Refused(_("The range is marked as entered in error already."))
    return held


def withdraw_range(*, held, version, reason, by):
    """Mark a range as entered in error: it holds for no further result. Those held against it keep it."""
    if not reason.strip():
        raise Refused({"reason": [_("Write what was wrong with the range.")]})
    with acting(by, reason):
        lock_laboratory(held.laboratory)
        held = _lock_range(held, version)
        held.is_withdrawn = True
        next_version(held, "is_withdrawn")
    return held


def copy_ranges(*, laboratory, valid_from, version=None, by):
    """Let what holds on the day before begin anew on a day: each range in force ends, and one like it begins.

    Ranges that begin on that day or later stay, and none like them is made. Gives the new ones."""
    with acting(by, _reason_for(valid_from)):
        laboratory = lock_laboratory(laboratory, version)
        there = list(laboratory.ranges.standing().select_for_update())
        before = ranges.day_before(valid_from)
        present = [r for r in there if r.valid_from <= before and (r.valid_to is None or r.valid_to >= valid_from)]
        if not present:
            raise Refused({"valid_from": [_("No range holds both on this day and on the day before.")]})
        copies = [_like(held, valid_from=valid_from) for held in present]
        for held in present:
            held.valid_to = before
            held.version += 1
        ReferenceRange.objects.bulk_update(present, ["valid_to", "version"])
        return _store(laboratory, copies)


def _like(held, **changes):
    return replace(Range(**{name: getattr(held, name) for name in ranges.COLUMNS}), **changes)


def import_ranges(*, laboratory, text, ends_earlier=False, by):
    """Take over a table of ranges, all of them or none. Raises BadTable with every bad cell."""
    rows, wanted = zip(*ranges.from_csv(text, known_tests()), strict=True)
    with acting(by, because("table of ranges imported")):
        laboratory = lock_laboratory(laboratory)
        if refused := _make_room(laboratory, wanted, ends_earlier):
            raise BadTable([BadCell(rows[place], "valid_from", told) for place, told in refused])
        return _store(laboratory, wanted)


# --- results that were held against another range ------------------------------------------------------------


@dataclass(frozen=True)
class Differing:
    """A stored result for which today another range holds than the one it was held against."""

    measurement: Measurement
    held: ranges.Held | None  # what holds now
    flag: str  # what its flag would be
    is_closed: bool  # frozen or locked: it is left as it is


def differing_results(held, records=None):
    """The results that were held against this range and are not to be by now, or the other way round; by patient.

    `records` are the results to look among (those that somebody may see); by default all."""
    candidates = (
        (Measurement.objects.all() if records is None else records)
        .filter(panel__laboratory=held.laboratory_id, test=held.test, value__isnull=False)
        .filter(
            Q(reference=held) | Q(collected_on__gte=held.valid_from, collected_on__lte=held.valid_to or ranges.LAST_DAY)
        )
        .select_related("panel__visit", "patient", "reference")
        .order_by("patient__number", "collected_on", "id")
    )
    there = list(ReferenceRange.objects.standing().filter(laboratory=held.laboratory_id, test=held.test))
    found = []
    for m in candidates:
        test, on = m.panel.protocol.test(m.test), m.collected_on
        now = ranges.held_against(
            there, test, m.reported_unit, sex=m.patient.sex, age=m.patient.age_on(on), on=on
        )  # fmt: skip
        reference = now.reference if now else None
        if m.reference_id != reference and held.pk in (m.reference_id, reference):
            read = results.read_result(test, m.typed, m.reported_unit) if not m.is_computed else as_result(m)
            is_closed = (m.patient.hold, m.panel.visit.hold) != (Hold.OPEN, Hold.OPEN)
            found.append(Differing(m, now, results.flag(read, now), is_closed))
    return found


def apply_range(*, held, version, reason, by):
    """Hold the results that differ against what holds by now: the one way in which a stored range changes. Gives
    (those changed, those left because they are frozen or locked). No query is raised."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the results are held against another range.")]})
    with acting(by, reason):
        lock_laboratory(held.laboratory)
        held = ReferenceRange.objects.select_for_update(of=("self",)).select_related("laboratory").get(pk=held.pk)
        check_version(held, version)
        panels = sorted({one.measurement.panel_id for one in differing_results(held)})
        locked = list(
            PanelRecord.objects.select_related("visit", "patient").select_for_update(of=("patient", "visit", "self"))
            .filter(pk__in=panels).order_by("patient", "visit", "pk")
        )  # fmt: skip
        differing = differing_results(held)
        wanted = [one for one in differing if not one.is_closed]
        if not wanted:
            raise Refused(_("There is no result to which the range could be applied."))
        columns = {}
        for one in wanted:
            columns = {**as_stored(one.held), "flag": one.flag, "version": one.measurement.version + 1}
            for name, value in columns.items():
                setattr(one.measurement, name, value)
        Measurement.objects.bulk_update([one.measurement for one in wanted], [*columns])
        # the panel moves on, too: whoever has it open sees the change before saving
        touched = {one.measurement.panel_id for one in wanted}
        moved = [panel for panel in locked if panel.pk in touched]
        for panel in moved:
            panel.version += 1
        PanelRecord.objects.bulk_update(moved, ["version"])
        for panel in moved:
            tests = {one.measurement.test for one in wanted if one.measurement.panel_id == panel.pk}
            marks_void(record=panel, fields=tests, reason=reason, by=by)
    return wanted, [one for one in differing if one.is_closed]
