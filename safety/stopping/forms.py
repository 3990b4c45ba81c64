"""The form of the simulator: a rule as the protocol would have it, within limits that every request can bear."""

from decimal import Decimal

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter
from pydantic import ValidationError as BadRule

from safety.stopping.rules import kinds
from trialsite.fields import NUMBER, ClearTextField, StrictDecimalField, StrictIntegerField
from trialsite.protocol.stopping import StoppingRule

MOST_PATIENTS, MOST_RATES, MOST_LOOKS = 200, 12, 40
RULE = TypeAdapter(StoppingRule)
# what each kind of rule asks for; what it does not know is left alone
ASKED = {
    "beta_binomial": ("acceptable_rate", "alpha", "confidence", "prior"),
    "pocock": ("acceptable_rate", "alpha", "level"),
    "wang_tsiatis": ("acceptable_rate", "alpha", "constant", "shape"),
    "sprt": ("acceptable_rate", "alpha", "constant", "unacceptable_rate"),
    "max_sprt": ("acceptable_rate", "alpha", "constant"),
    "group_sequential": ("acceptable_rate", "alpha", "level", "shape", "looks"),
    "k_of_first_m": ("events",),
}


def rate(label, **kwargs):
    kwargs.setdefault("required", False)
    return StrictDecimalField(
        label=label, min_value=Decimal("0.001"), max_value=Decimal("0.999"), decimal_places=6, **kwargs
    )


class ListField(ClearTextField):
    """Numbers with commas between them."""

    def __init__(self, *, most, whole=False, **kwargs):
        self.most, self.whole = most, whole
        super().__init__(max_length=400, **kwargs)

    def clean(self, value):
        parts = [part.strip() for part in super().clean(value).split(",") if part.strip()]
        if len(parts) > self.most or any(not NUMBER.fullmatch(part) or len(part) > 12 for part in parts):
            raise ValidationError(_("Write up to %(most)s numbers with commas between them.") % {"most": self.most})
        numbers = [Decimal(part) for part in parts]
        if self.whole and any(number != number.to_integral_value() for number in numbers):
            raise ValidationError(_("Write whole numbers."))
        return [int(number) for number in numbers] if self.whole else numbers


class SimulatorForm(forms.Form):
    kind = forms.ChoiceField(label=_("Kind of rule"))
    patients = StrictIntegerField(label=_("Patients (N)"), min_value=1, max_value=MOST_PATIENTS)
    acceptable_rate = rate(_("Acceptable rate (p0)"))
    alpha = rate(_("Stopping at p0 (alpha)"))
    constant = StrictDecimalField(
        label=_("Or the constant itself"), required=False, min_value=Decimal("0.000001"), max_value=1000, decimal_places=9,
        help_text=_("confidence of a beta-binomial rule, level of Pocock's, c of the others"),
    )  # fmt: skip
    prior_a = StrictDecimalField(label=_("Prior, a"), required=False, min_value=Decimal("0.01"), max_value=1000)
    prior_b = StrictDecimalField(label=_("Prior, b"), required=False, min_value=Decimal("0.01"), max_value=1000)
    shape = StrictDecimalField(
        label=_("Shape"), required=False, min_value=0, max_value=Decimal("0.5"), help_text=_("0 is O'Brien–Fleming of Wang–Tsiatis")
    )  # fmt: skip
    unacceptable_rate = rate(_("Unacceptable rate (p1)"))
    looks = ListField(label=_("Looks after ... patients"), required=False, most=MOST_LOOKS, whole=True)
    events = StrictIntegerField(label=_("Events (k)"), required=False, min_value=1, max_value=MOST_PATIENTS)
    rates = ListField(label=_("True rates"), most=MOST_RATES)

    def __init__(self, data=None):
        super().__init__(data, initial={"kind": "beta_binomial", "patients": 24, "acceptable_rate": "0.1", "alpha": "0.1",
                                        "prior_a": "0.3", "prior_b": "2.7", "rates": "0.05, 0.1, 0.2, 0.3, 0.4, 0.5"})  # fmt: skip
        self.fields["kind"].choices = [(kind, words) for kind, words in kinds().items() if kind in ASKED]
        self.rule = None

    def clean_rates(self):
        rates = self.cleaned_data["rates"]
        if not rates or any(not 0 <= one <= 1 for one in rates):
            raise ValidationError(_("Write rates from 0 to 1."))
        return rates

    def clean(self):
        given = super().clean()
        if self.errors:
            return given
        asked = ASKED[given["kind"]]
        values = {name: given.get(name) for name in asked if given.get(name) not in (None, "", [])}
        if given["kind"] == "beta_binomial":
            values["prior"] = (given.get("prior_a"), given.get("prior_b"))
        named = next((name for name in ("confidence", "level") if name in asked), "constant")
        if given.get("constant") is not None and "alpha" in asked:
            values[named] = given["constant"]
        try:
            self.rule = RULE.validate_python(
                {"code": "TRY", "name": "-", "counts": {"serious": True}, "blocks": ["infuse"], "kind": given["kind"],
                 "patients": given["patients"], **values}
            )  # fmt: skip
        except BadRule as bad:
            for error in bad.errors():
                self._add_fault(error, named)
            return given
        self._check_numbers(given)
        return given

    def _add_fault(self, error, named):
        field = next((str(part) for part in error["loc"] if str(part) in ASKED_NAMES), None)
        field = {"prior": "prior_a", named: "constant"}.get(field, field)
        text = (
            _("Give this for this kind of rule.") if error["type"] == "missing" or error.get("input") is None else None
        )
        if text is None:
            text = _("This does not fit this kind of rule.")
        if field in self.fields:
            self.add_error(field, text)
        else:
            self.add_error("alpha", _("Give alpha or the constant, not both."))

    def _check_numbers(self, given):
        rule, p1 = self.rule, given.get("unacceptable_rate")
        if rule.kind == "sprt" and p1 <= rule.acceptable_rate:
            self.add_error("unacceptable_rate", _("It must be above the acceptable rate."))
        if rule.kind == "group_sequential" and (
            list(rule.looks) != sorted(set(rule.looks)) or rule.looks[-1] != rule.patients
        ):
            self.add_error("looks", _("The looks must rise, and the last must be the number of patients."))
        if rule.kind == "k_of_first_m" and rule.events > rule.patients:
            self.add_error("events", _("It must not be more than the patients."))


ASKED_NAMES = {name for names in ASKED.values() for name in names} | {"constant"}
