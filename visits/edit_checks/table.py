"""The one readable place where all edit checks are declared, to be read from top to bottom and signed: `CHECKS`.

A row says: its kind and code, whether it refuses (HARD) or asks (SOFT), its title; the sentence it says; why it is
there; its limits, if it has any of its own. Checks of infusions are declared here and worked out in visits/infusing.py,
those of an event's own fields in safety/consistency.py. tests/rules/test_edit_checks.py shows on which values each
speaks.

Bounds of the trial stand in the protocol; the percentages and tolerances here are defaults of this project, unless a
source is named, for no public source of this trial gives any."""

from dataclasses import replace
from decimal import Decimal

from django.utils.translation import gettext_noop as _

from visits.edit_checks import days
from visits.edit_checks.kinds import HARD, SOFT, Below, Change, Check, OfDay, PartsWithin, Rebound, Subject

# what several of them say
NOT_BELOW = _("%(lower)s is not below %(upper)s.")
PARTS_OVER_WHOLE = _("%(parts)s are together more than %(whole)s.")

# why several of them are there
BY_DEFINITION = _("By definition of the two; they are easily swapped.")
ORDER_OF_TIME = _("The order of time.")
HAS_BEEN_DONE = _("What is recorded has been done.")
AFTER_CONSENT = _("Nothing is done for a trial before the consent (ICH E6).")
E2A = _("ICH E2A defines serious by criteria.")
ONE_DEATH = _("One death, three fields: in both scales grade 5 is death (DAIDS, CTCAE).")
CDASH = _("CDASH: an end date exactly when the event does not go on.")

DECLARED: dict[Subject, tuple[Check, ...]] = {
    Subject.VALUE: (
        Check("impossible", HARD, _("Impossible value"),
            _("%(test)s %(result)s is not possible; only values from %(low)s to %(high)s are."),
            _("Outside the protocol's possible bounds, which no living adult or analyser exceeds: a slip.")),
        Check("implausible", SOFT, _("Unusual value"),
            _("%(test)s %(result)s is unusual; expected is %(low)s to %(high)s. Is it right?"),
            _("Outside the protocol's plausible bounds: rare in these patients, so that a slip is likelier.")),
        Check("alert", SOFT, _("Answer that a person should look at"),
            _("%(test)s: %(result)s. Is it right?"),
            _("The protocol marks this answer: a positive or abnormal finding has consequences.")),
    ),
    Subject.FORM: (
        Check("not_for_sex", HARD, _("Form of the other sex"),
            _("%(panel)s is not for this patient's sex."),
            _("The protocol asks for this form in one sex only.")),
        Check("not_in_panel", HARD, _("Test that the form does not have"),
            _("%(test)s is no test of %(panel)s."),
            _("Only what the protocol puts into a form is stored with it.")),
        Below("pressure_order", SOFT, _("Diastolic not below systolic pressure"),
            NOT_BELOW, BY_DEFINITION, lower="DIABP", upper="SYSBP"),
        Below("pressure_order_infused", SOFT, _("Diastolic not below systolic pressure, during an infusion"),
            NOT_BELOW, BY_DEFINITION, lower="M_DIABP", upper="M_SYSBP"),
        PartsWithin("subsets_over_100", SOFT, _("Naive and memory subsets over 100 percent"),
            PARTS_OVER_WHOLE, _("The subsets exclude one another; one percent is left for rounding."),
            parts=("NVCD4P", "CMCD4P", "EMCD4P"), whole=Decimal(100), tolerance=Decimal("1.0")),
        PartsWithin("subsets_over_total", SOFT, _("Naive and memory cells over all CD4 cells"),
            PARTS_OVER_WHOLE,
            _("The subsets exclude one another; one percent and two cells are left for rounding. Silent where they "
              "are computed."),
            parts=("NVCD4", "CMCD4", "EMCD4"), whole="CD4", percent=Decimal(1), tolerance=Decimal(2)),
        PartsWithin("cells_over_wbc", SOFT, _("Neutrophils and lymphocytes over all white cells"),
            PARTS_OVER_WHOLE, _("Both are white cells; 0.1 × 10⁹/L is left for rounding."),
            parts=("NEUT", "LYM"), whole="WBC", tolerance=Decimal("0.1")),
    ),
    Subject.VISIT: (
        PartsWithin("t_cells_over_lymphocytes", SOFT, _("CD4 and CD8 cells over all lymphocytes"),
            PARTS_OVER_WHOLE,
            _("Both are lymphocytes. A fifth is left, for flow cytometer and blood counter count apart."),
            parts=("CD4", "CD8"), whole="LYM", percent=Decimal(20), factor=Decimal(1000)),
    ),
    Subject.COURSE: (
        Change("weight_change", SOFT, _("Weight changed by more than a tenth"),
            _("%(result)s: changed by more than %(percent)s %% (previously %(before)s)."),
            _("The dose of cells follows from the weight; so great a change within weeks is rare."),
            test="WEIGHT", percent=Decimal(10)),
        Change("cd4_fall", SOFT, _("CD4 fell by more than half"),
            _("%(result)s: fell by more than %(percent)s %% (previously %(before)s)."),
            _("CD4 is the main endpoint and falls slowly under treatment: another patient's report, or an event."),
            test="CD4", percent=Decimal(50), falls_only=True),
        Rebound("hivrna_rebound", SOFT, _("HIV RNA rebound"),
            _("%(result)s: a rebound above %(above)s after %(before)s. Is it right, and is it being confirmed?"),
            _("Above 200 copies/mL after suppression is virological rebound when confirmed (DHHS); asked once, in "
              "place of the range."),
            test="HIVRNA", from_at_most=Decimal(50), above=Decimal(200)),
    ),
    Subject.DAY: (
        OfDay("day_in_future", HARD, _("Day in the future"),
            _("The date is in the future."), HAS_BEEN_DONE, finds=days.in_the_future),
        OfDay("day_after_death", HARD, _("Day after the death"),
            _("The date is after the death of %(died_on)s."),
            _("Nothing is measured after a death."),
            finds=days.after_death),
        OfDay("day_before_screening", HARD, _("Day long before screening"),
            _("The date is more than %(days)s days before screening (%(screened_on)s)."),
            _("Results count for 30 days before entry (registry): an older one is a slip of the year."),
            finds=days.long_before_screening),
        OfDay("day_before_consent", HARD, _("Day before the consent"),
            _("The date is before the consent of %(consented_on)s."), AFTER_CONSENT, finds=days.before_consent),
        OfDay("window", SOFT, _("Visit outside its window"),
            _("Collected on %(day)s, outside the window of %(visit)s (%(earliest)s to %(latest)s)."),
            _("The window stands in the protocol; outside it a visit is a deviation."),
            once_a_visit=True, finds=days.out_of_window),
        OfDay("other_day", SOFT, _("Collected on another day than the visit's"),
            _("Collected on %(day)s, but %(visit)s took place on %(visit_on)s. Is it right?"),
            _("A form mostly has the date of its visit. Screening is not done in a day: silent there."),
            finds=days.on_another_day),
        OfDay("visit_order", SOFT, _("Visits in the wrong order"),
            _("%(visit)s on %(day)s and %(other)s on %(other_day)s are not in the order of the plan."),
            _("The plan has an order; a wrong month or visit breaks it."),
            once_a_visit=True, finds=days.in_the_wrong_order),
    ),
    Subject.INFUSION: (
        Check("not_randomised", HARD, _("Infusion before randomisation"),
            _("The patient is not randomised."),
            _("The arm decides what is infused.")),
        Check("halted", HARD, _("Infusion during a halt"),
            _("Infusions are halted: %(halt)s."),
            _("A halt holds until a recorded decision lifts it.")),
        Check("no_lot", HARD, _("Infusion without a lot"),
            _("No product lot has been chosen."),
            _("What was infused must be traced to its lot (GMP).")),
        Check("lot_not_released", HARD, _("Lot not released"),
            _("The product lot is not released; it is %(state)s."),
            _("Only a lot whose release tests passed is infused (GMP).")),
        Check("lot_without_expiry", HARD, _("Lot without expiry date"),
            _("The product lot has no expiry date."),
            _("It cannot be told whether it may be used.")),
        Check("lot_expired", HARD, _("Lot expired"),
            _("The product lot expired on %(expires_on)s."),
            _("A lot is used up to and including the day on which it expires.")),
        Check("other_product", HARD, _("Lot of another product"),
            _("The product lot is not of the product that this patient is to receive."),
            _("The product follows from the arm.")),
        Check("given_before", HARD, _("Infusion given twice"),
            _("Infusion %(number)s has already been given."),
            _("Each infusion of the protocol is given once.")),
        Check("later_one_given", HARD, _("Infusion after a later one"),
            _("Infusion %(later)s has already been given; infusion %(number)s cannot follow it."),
            _("A skipped infusion is not made up for.")),
        Check("first_not_given", HARD, _("Infusion before the first"),
            _("Infusion 1 has not been given; infusion %(number)s cannot come before it."),
            _("The first infusion is day 0: the plan hangs on it.")),
        Check("previous_infusion_later", HARD, _("Infusion dated before the previous one"),
            _("The previous infusion was given later, on %(previous_on)s."),
            _("Infusions follow one another.")),
        Check("interval", HARD, _("Infusion too soon after the previous one"),
            _("The previous infusion was %(days)s days before, on %(previous_on)s; at least %(least)s days must lie "
              "between infusions."),
            _("The least interval stands in the protocol.")),
        Check("pregnancy_untested", HARD, _("No pregnancy test before the infusion"),
            _("There is no pregnancy test for this infusion."),
            _("Where the protocol asks for one: every woman below 60 years (default) has one at the visit of the "
              "infusion.")),
        Check("pregnancy_not_excluded", HARD, _("Pregnancy test not negative"),
            _("The pregnancy test is not negative."),
            _("A pregnant woman is not infused, at whatever age.")),
        Check("future", HARD, _("Infusion in the future"),
            _("The infusion lies in the future."), HAS_BEEN_DONE),
        Check("stop_before_start", HARD, _("Stop before start"),
            _("The infusion must stop after it starts."), ORDER_OF_TIME),
        Check("interruption_outside", HARD, _("Interruption outside the infusion"),
            _("The interruption at %(at)s is not between start and stop."), ORDER_OF_TIME),
        Check("interruption_order", HARD, _("Interruption ends before it begins"),
            _("The interruption at %(at)s must end after it begins."), ORDER_OF_TIME),
        Check("interruption_overlap", HARD, _("Interruptions overlap"),
            _("The interruption at %(at)s begins before an earlier one ended."), ORDER_OF_TIME),
        Check("interruption_open", HARD, _("Interruption without end"),
            _("The interruption at %(at)s has no end, yet the infusion went on after it."), ORDER_OF_TIME),
        Check("reaction_before_start", HARD, _("Reaction before the infusion"),
            _("The reaction at %(at)s began before the infusion."),
            _("What began before it is no reaction to it.")),
        Check("dose_off_plan", SOFT, _("Dose given off plan"),
            _("The given dose differs from the planned one by %(deviation)s %%; up to %(tolerance)s %% is tolerated."),
            _("The tolerance stands in the protocol. In a masked trial only the part of the bag is judged.")),
        Check("dose_for_weight", SOFT, _("Dose prepared for another weight"),
            _("The bag was prepared for %(prepared_for)s kg, but the weight at the visit is %(weight)s kg: more than "
              "%(tolerance)s %% apart."),
            _("The dose follows from the weight of the visit; the dose's tolerance stands in the protocol. Only the "
              "weights are told, which say nothing about the arm.")),
        Check("volume", SOFT, _("Volume outside the protocol"),
            _("The volume of %(volume)s mL is not from %(low)s to %(high)s mL."),
            _("The volume stands in the protocol.")),
        Check("monitoring", SOFT, _("Vital signs missing"),
            _("The vital signs at %(minutes)s minutes are missing."),
            _("The times of monitoring stand in the protocol.")),
        Check("before_preparation", SOFT, _("Infusion before its preparation"),
            _("The infusion began before the bag was prepared."), ORDER_OF_TIME),
        Check("infusion_window", SOFT, _("Infusion outside the visit's window"),
            _("Infused on %(day)s, outside the window of %(visit)s (%(earliest)s to %(latest)s)."),
            _("The window stands in the protocol; outside it an infusion is a deviation.")),
    ),
    Subject.TREATMENT: (
        Check("line_before_birth", HARD, _("Date before birth"),
            _("The date is before the patient's birth on %(birth_date)s."),
            _("Of a partial date, only the latest possible day counts.")),
        Check("line_after_death", HARD, _("Date after the death"),
            _("The date is after the death of %(died_on)s."),
            _("Of a partial date, only the earliest possible day counts.")),
        Check("art_gap", SOFT, _("Gap in the antiretroviral treatment"),
            _("No antiretroviral treatment from %(first)s to %(last)s. Is a regimen missing?"),
            _("Patients are treated without interruption (registry, I2). Partial dates are taken as all days that "
              "they can mean: only a certain gap speaks.")),
        Check("art_stopped", SOFT, _("Antiretroviral treatment stopped in the trial"),
            _("No antiretroviral treatment goes on after %(ended_on)s. Is a regimen missing?"),
            _("The treatment is to be continued (registry, I2). Silent about regimens that ended before the consent.")),
    ),
    Subject.EVENT: (
        Check("event_before_consent", SOFT, _("Onset before the consent"),
            _("The onset is before the consent of %(consented_on)s. Is this medical history?"),
            _("Adverse events count from the consent on (ICH E6); what was there before is history, unless it got "
              "worse.")),
        Check("event_after_death", HARD, _("Onset after the death"),
            _("The onset is after the death of %(died_on)s."),
            _("Nothing begins after a death.")),
        Check("event_no_criterion", HARD, _("Serious without a criterion"),
            _("A serious event meets at least one of the criteria; tick which."), E2A),
        Check("event_not_serious", HARD, _("Criterion of seriousness, yet not serious"),
            _("A criterion of seriousness is ticked: the event is serious."), E2A),
        Check("event_death_criterion", HARD, _("Death without its criterion"),
            _("Death goes with “results in death”, outcome fatal and grade 5; this criterion is not ticked."),
            ONE_DEATH),
        Check("event_death_outcome", HARD, _("Death without its outcome"),
            _("Death goes with “results in death”, outcome fatal and grade 5; the outcome is not fatal."), ONE_DEATH),
        Check("event_death_grade", HARD, _("Death without its grade"),
            _("Death goes with “results in death”, outcome fatal and grade 5; the grade is not 5."), ONE_DEATH),
        Check("event_ongoing_ended", HARD, _("Ongoing with an end"),
            _("An event that goes on has no end date."), CDASH),
        Check("event_ongoing_resolved", HARD, _("Ongoing, yet resolved"),
            _("An event that goes on has not ended in this outcome."),
            _("The outcome says that it is over.")),
        Check("event_without_end", HARD, _("Over without an end"),
            _("Write the end date, or say that the event goes on."), CDASH),
        Check("event_ended_unresolved", HARD, _("Over, yet not resolved"),
            _("An event that has ended has another outcome."),
            _("The outcome says that it goes on.")),
        Check("event_end_before_onset", HARD, _("End before the onset"),
            _("The end is before the onset."), ORDER_OF_TIME),
        Check("event_in_future", HARD, _("Onset or end in the future"),
            _("The date is in the future."), HAS_BEEN_DONE),
        Check("event_unconsented", HARD, _("Event without any consent"),
            _("No consent is recorded for this patient; adverse events count from the consent on."), AFTER_CONSENT),
        Check("event_aware_before", HARD, _("Known before it began"),
            _("The site became aware before the onset."),
            _("The clock of reporting counts from the awareness.")),
        Check("event_infusion_unknown", HARD, _("After an infusion that was not given"),
            _("The patient has had %(infusions_given)s infusions."), ORDER_OF_TIME),
        Check("event_before_infusion", HARD, _("After an infusion, yet before the first"),
            _("The onset is before the first infusion of %(first_infusion_on)s."), ORDER_OF_TIME),
        Check("event_related_untreated", HARD, _("Related to a product that was not given"),
            _("The patient has had no infusion: the event cannot be related to the product."), ORDER_OF_TIME),
    ),
}  # fmt: skip

CHECKS = tuple(replace(check, subject=subject) for subject, checks in DECLARED.items() for check in checks)
BY_CODE = {check.code: check for check in CHECKS}
