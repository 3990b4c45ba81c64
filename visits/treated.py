"""What came before the treatment and what after it, for statements about more results than one wants to load: the same
rule as `grading.is_before_treatment` (a test holds them together)."""

from datetime import time

from django.db.models import DateTimeField, F, FilteredRelation, Func, Q, TimeField, Value
from django.db.models.functions import Cast, Coalesce

_LATER_ON_DAY_0 = Q(collected_on=F("patient__day_0"), panel__collected_at__gt=F("treated_at"))
_IN_A_PANEL_LATER = Q(panel__isnull=False) & (Q(collected_on__gt=F("patient__day_0")) | _LATER_ON_DAY_0)
_AT_AN_INFUSION_LATER = Q(infusion__isnull=False) & (Q(infusion__number__gt=1) | Q(minute__gt=0))
_EARLIER_ON_DAY_0 = Q(collected_on=F("patient__day_0")) & (
    Q(panel__collected_at=None) | Q(panel__collected_at__lte=F("treated_at"))
)

# conditions on measurements `with_treated_at`
AFTER_TREATMENT = (_IN_A_PANEL_LATER | _AT_AN_INFUSION_LATER) & Q(patient__day_0__isnull=False)
BEFORE_TREATMENT = (Q(collected_on__lt=F("patient__day_0")) | _EARLIER_ON_DAY_0) & Q(
    panel__isnull=False, patient__day_0__isnull=False
)


def after_treatment(measurements):
    """Those collected after the first infusion began, by the clock of the patient's site. A result of day 0 without a
    time was not; of the readings while infusions run, those were that were not taken as the first one began."""
    return with_treated_at(measurements).filter(AFTER_TREATMENT)


def before_treatment(measurements):
    """Those of panels that may be a baseline, once day 0 is known."""
    return with_treated_at(measurements).filter(BEFORE_TREATMENT)


def with_treated_at(measurements):
    """`treated_at` is the time of day at which the first infusion began; where none has, nothing of the day is later. A
    join, since the past of a table is too dear to be asked for each row (trialsite/as_of.py)."""
    first = FilteredRelation("patient__infusions", condition=Q(patient__infusions__number=1))
    local = Func(
        "patient__site__timezone", "first_infusion__started_at", function="timezone", output_field=DateTimeField()
    )
    # an alias: it takes no part in grouping
    return measurements.alias(
        first_infusion=first, treated_at=Coalesce(Cast(local, TimeField()), Value(time.max, TimeField()))
    )
