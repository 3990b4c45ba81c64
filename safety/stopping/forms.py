"""The form of the simulator: a rule as the protocol would have it, within limits that every request can bear."""

from decimal import Decimal
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext
from pydantic import TypeAdapter
from pydantic import ValidationError as BadRule

from safety.stopping.boundaries import count_rule
from safety.stopping.rules import boundary_of, kinds
from trialsite.fields import NUMBER, ClearTextField, StrictDecimalField, StrictIntegerField
from trialsite.protocol.stopping import StoppingRule

MOST_PATIENTS, MOST_RATES, MOST_LOOKS, MOST_DAYS = 200, 12, 40, 3660
RULE = TypeAdapter(StoppingRule)
EVALUABLE = "evaluable_after_days"
# what each kind of rule asks for, besides its patients, in the protocol's words; nothing else is shown, or taken
ASKED = {
    "beta_binomial": ("acceptable_rate", "prior_a", "prior_b", "alpha", "confidence", "unacceptable_rate", "least_probability", EVALUABLE),
    "pocock": ("acceptable_rate", "alpha", "level", EVALUABLE),
    "wang_tsiatis": ("acceptable_rate", "shape", "alpha", "constant", EVALUABLE),
    "sprt": ("acceptable_rate", "unacceptable_rate", "alpha", "constant", EVALUABLE),
    "max_sprt": ("acceptable_rate", "alpha", "constant", EVALUABLE),
    "group_sequential": ("acceptable_rate", "looks", "shape", "alpha", "level", EVALUABLE),
    "k_of_first_m": ("events",),
    "any_event": (),
}  # fmt: skip
CONSTANTS = ("confidence", "level", "constant")
OPTIONAL = {"alpha", *CONSTANTS, EVALUABLE}
# Chen and Chaloner's second condition is no part of every beta-binomial rule; looks have a shape unless one is named
OPTIONAL_OF = {"beta_binomial": {"unacceptable_rate", "least_probability"}, "group_sequential": {"shape"}}
USUAL = {
    "kind": "beta_binomial", "patients": "24", "acceptable_rate": "0.1", "alpha": "0.1", "prior_a": "0.3", "prior_b": "2.7",
    "shape": "0", "events": "2", "rates": "0.05, 0.1, 0.2, 0.3, 0.4, 0.5",
}  # fmt: skip


def address_of(rule, patients=None, rates=None) -> str:
    """The query of the simulator's page filled in with a rule of the protocol; `patients` for a rule that names none."""
    given = {"kind": rule.kind, "patients": getattr(rule, "patients", patients)}
    given["prior_a"], given["prior_b"] = getattr(rule, "prior", (None, None))
    given |= {name: getattr(rule, name, None) for name in ASKED[rule.kind] if not name.startswith("prior_")}
    given["rates"] = rates or USUAL["rates"]
    given = {name: value for name, value in given.items() if value is not None and (name, value) != (EVALUABLE, 0)}
    return urlencode({name: _typed(value) for name, value in given.items()})


def _typed(value) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(_typed, value))
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def rate(label, **kwargs):
    kwargs = {"min_value": Decimal("0.001"), "max_value": Decimal("0.999"), "decimal_places": 6, **kwargs}
    return StrictDecimalField(label=label, **kwargs)


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
    """A rule of one kind, with the fields that this kind asks for. What else is sent is `dropped`, and the page says so.

    With `is_change` another kind was chosen: the fields are shown, filled in with what was typed, and nothing is judged."""

    kind = forms.ChoiceField(label=_("Kind of rule"))
    patients = StrictIntegerField(label=_("Patients (N)"), min_value=1, max_value=MOST_PATIENTS)
    acceptable_rate = rate(_("Acceptable rate (p0)"))
    looks = ListField(label=_("Looks after ... patients"), most=MOST_LOOKS, whole=True)
    events = StrictIntegerField(label=_("Events (k)"), min_value=1, max_value=MOST_PATIENTS)
    prior_a = StrictDecimalField(label=_("Prior, a"), min_value=Decimal("0.01"), max_value=1000)
    prior_b = StrictDecimalField(label=_("Prior, b"), min_value=Decimal("0.01"), max_value=1000)
    shape = StrictDecimalField(label=_("Shape"), min_value=0, max_value=Decimal("0.5"))
    unacceptable_rate = rate(_("Unacceptable rate (p1)"))
    alpha = rate(_("Stopping at p0 (alpha)"), help_text=_("or the constant itself, not both"))
    confidence = rate(_("Confidence (c)"), decimal_places=12, help_text=_("stops when Pr(rate > p0) is above it"))
    level = rate(_("Level"), min_value=Decimal("0.000001"), decimal_places=12)
    constant = StrictDecimalField(
        label=_("Constant (c)"), min_value=Decimal("0.000001"), max_value=1000, decimal_places=12
    )
    least_probability = rate(
        _("Least probability (ν)"), help_text=_("stops only when Pr(rate > p1) is above it, too (Chen and Chaloner)")
    )
    evaluable_after_days = StrictIntegerField(
        label=_("A patient without an event counts after ... days"), min_value=0, max_value=MOST_DAYS
    )
    rates = ListField(label=_("True rates"), most=MOST_RATES)

    def __init__(self, data=None, *, is_change=False):
        sent = {name: value for name, value in (data or {}).items() if value.strip()}
        self.known_kind = sent.get("kind") if sent.get("kind") in ASKED else USUAL["kind"]
        asked = ASKED[self.known_kind]
        super().__init__(None if is_change else data, initial={**USUAL, **(sent if is_change else {})})
        labels = {name: field.label for name, field in self.fields.items()}
        self.fields = {name: self.fields[name] for name in ("kind", "patients", *asked, "rates")}
        self.dropped = [(labels.get(name, name), value) for name, value in sent.items() if name not in self.fields]
        self._word(asked)
        if is_change:
            self._fill_in(asked, sent)
        self.rule = None

    def _word(self, asked):
        self.fields["kind"].choices = [(kind, words) for kind, words in kinds().items() if kind in ASKED]
        optional = OPTIONAL | OPTIONAL_OF.get(self.known_kind, set())
        for name in asked:
            self.fields[name].required = name not in optional
            self.fields[name].error_messages["required"] = _("Give this for this kind of rule.")
        if "shape" in asked:
            is_group = self.known_kind == "group_sequential"
            self.fields["shape"].help_text = _("0 is Pocock-like, 0.5 O'Brien–Fleming") if is_group else _("0 is O'Brien–Fleming, 0.5 Pocock-like")  # fmt: skip

    def _fill_in(self, asked, sent):
        """What the new kind asks for and nobody typed yet."""
        if any(name in sent for name in CONSTANTS if name in asked) and "alpha" not in sent:
            self.initial["alpha"] = ""
        patients = sent.get("patients", USUAL["patients"])
        if "looks" in asked and "looks" not in sent and patients.isdecimal() and 3 <= int(patients) <= MOST_PATIENTS:
            self.initial["looks"] = ", ".join(str(int(patients) * part // 3) for part in (1, 2, 3))

    def clean_rates(self):
        rates = self.cleaned_data["rates"]
        if not rates or any(not 0 <= one <= 1 for one in rates):
            raise ValidationError(_("Write rates from 0 to 1."))
        return rates

    def clean(self):
        given = super().clean()
        if self.errors:
            return given
        self._check_pairs(given)
        if self.errors:
            return given
        values = {name: given[name] for name in ASKED[given["kind"]] if given[name] not in (None, "", [])}
        if "prior_a" in values:
            values["prior"] = (values.pop("prior_a"), values.pop("prior_b"))
        if given["kind"] != "any_event":
            values["patients"] = given["patients"]
        try:
            self.rule = RULE.validate_python(
                {"code": "TRY", "name": "-", "counts": {"serious": True}, "blocks": ["infuse"], "kind": given["kind"], **values}
            )  # fmt: skip
        except BadRule as bad:
            for error in bad.errors():
                field = next((str(part) for part in error["loc"] if str(part) in self.fields), None)
                self.add_error(field, _("This does not fit this kind of rule."))
        return given

    @property
    def dropped_text(self):
        told = [_("%(label)s (%(value)s)") % {"label": label, "value": value} for label, value in self.dropped]
        return pgettext("between the conditions of a rule", "; ").join(map(str, told))

    @property
    def boundary(self):
        """Of a valid form; a rule that any event meets is tried out on so many patients."""
        return boundary_of(self.rule) or count_rule(1, self.cleaned_data["patients"])

    def _check_pairs(self, given):
        asked = ASKED[given["kind"]]
        constant = next((name for name in CONSTANTS if name in asked), None)
        if constant and (given["alpha"] is None) == (given[constant] is None):
            self.add_error("alpha", _("Give alpha or the constant, not both."))
        p1, least = given.get("unacceptable_rate"), given.get("least_probability")
        if "least_probability" in asked and (p1 is None) != (least is None):
            self.add_error("unacceptable_rate" if p1 is None else "least_probability", _("Give both, or neither."))
        if p1 is not None and p1 <= given["acceptable_rate"]:
            self.add_error("unacceptable_rate", _("It must be above the acceptable rate."))
        if "looks" in asked and (
            given["looks"] != sorted(set(given["looks"])) or given["looks"][-1:] != [given["patients"]]
        ):
            self.add_error("looks", _("The looks must rise, and the last must be the number of patients."))
        if "events" in asked and given["events"] > given["patients"]:
            self.add_error("events", _("It must not be more than the patients."))
