"""Strict form fields: what a field cannot mean it refuses, and what it accepts it stores as it was typed.

Django's own fields take `1_2_0` for 120, `1E2` for 100, `03/04/2026` for 4 March and a zero-width space for a text;
these do not. The only silent change is the removal of blanks around numbers and dates.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from trialsite.characters import is_unseen

EARLIEST, LATEST = date(1900, 1, 1), date(2100, 12, 31)

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
PARTIAL_DATE = re.compile(r"([0-9]{4})(-[0-9]{2})?(-[0-9]{2})?", re.ASCII)
TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
DATETIME = re.compile(r"(\S{10})[T ](\S{5})", re.ASCII)


def unseen_characters(text):
    """The characters of `text` that a reader cannot see, new lines and tabs excepted."""
    return [c for c in text if is_unseen(c) and c not in "\n\t"]


def number_attrs(field, inputmode):
    """What tells a browser about a number, in a text field: type=number drops silently what it does not understand."""
    bounds = {"min": field.min_value, "max": field.max_value}
    attrs = {name: str(value) for name, value in bounds.items() if value is not None}
    return {**attrs, "inputmode": inputmode, "autocomplete": "off"}


class StrictDecimalField(forms.DecimalField):
    widget = forms.TextInput
    default_error_messages = {
        "invalid": _("Write a number with digits and a decimal point, e.g. 12.5."),
        "max_decimal_places": _("Write at most %(max)s digits after the decimal point."),
    }

    def widget_attrs(self, widget):
        return number_attrs(self, "decimal")

    def prepare_value(self, value):
        """100 of a column with one decimal is 100 again, not 100.0."""
        return format(value.normalize(), "f") if isinstance(value, Decimal) else value

    def to_python(self, value):
        value = (value or "").strip(" ")
        if not value:
            return None
        if not NUMBER.fullmatch(value) or len(value) > 30:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return Decimal(value)


class StrictIntegerField(forms.IntegerField):
    widget = forms.TextInput
    default_error_messages = {"invalid": _("Write a whole number with digits only.")}

    def widget_attrs(self, widget):
        return number_attrs(self, "numeric")

    def to_python(self, value):
        value = (value or "").strip(" ") if isinstance(value, str) else value
        if value in (None, ""):
            return None
        if not INTEGER.fullmatch(str(value)) or len(str(value)) > 18:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return int(value)


def read_date(text):
    """A date from YYYY-MM-DD, 1900 to 2100. Raises ValidationError."""
    match = DATE.fullmatch(text)
    if not match:
        raise ValidationError(_("Write the date as YYYY-MM-DD, e.g. 2026-04-03."), code="invalid")
    try:
        value = date(*map(int, match.groups()))
    except ValueError:
        raise ValidationError(_("There is no such day in the calendar."), code="invalid") from None
    if not EARLIEST <= value <= LATEST:
        raise ValidationError(_("The year must be from 1900 to 2100."), code="invalid")
    return value


def latest_today():
    """Today where the day begins first (UTC+14). The actions ask what today is at the site."""
    return (datetime.now(UTC) + timedelta(hours=14)).date()


class StrictDateField(forms.DateField):
    """An ISO date. `not_after_today` refuses the future."""

    # not type=date: browsers show that in the order of their own language, 04/03/2026
    widget = forms.DateInput(
        format="%Y-%m-%d",
        attrs={"placeholder": "YYYY-MM-DD", "autocomplete": "off", "inputmode": "numeric",
               "min": "1900-01-01", "max": "2100-12-31"},
    )  # fmt: skip

    def __init__(self, *, not_after_today=True, **kwargs):
        super().__init__(**kwargs)
        self.not_after_today = not_after_today

    def to_python(self, value):
        value = (value or "").strip(" ") if isinstance(value, str) else value
        if not value:
            return None
        value = read_date(value) if isinstance(value, str) else value
        if self.not_after_today and value > latest_today():
            raise ValidationError(_("This date is in the future."), code="future")
        return value


# in the program's own words; Django's speak of a value
TOO_LONG = {"max_length": _("Write at most %(limit_value)d characters; this has %(show_value)d.")}


class PartialDateField(forms.CharField):
    """A date of which the day, or day and month, may be unknown: 2019, 2019-05 or 2019-05-14. Stored as typed."""

    default_error_messages = {"invalid": _("Write YYYY, YYYY-MM or YYYY-MM-DD.")}

    def __init__(self, **kwargs):
        super().__init__(strip=True, **kwargs)

    def clean(self, value):
        value = super().clean(value)
        if not value:
            return ""
        match = PARTIAL_DATE.fullmatch(value)
        if not match or (match[3] and not match[2]):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        first_day = read_date((value + "-01-01")[:10])
        if first_day > latest_today():
            raise ValidationError(_("This date is in the future."), code="future")
        return value


class StrictTimeField(forms.CharField):
    """A time of day, HH:MM, 24 hours."""

    widget = forms.TimeInput(attrs={"placeholder": "HH:MM", "autocomplete": "off", "inputmode": "numeric"})

    def to_python(self, value):
        value = (value or "").strip(" ") if isinstance(value, str) else value
        if not value:
            return None
        match = TIME.fullmatch(value)
        if not match:
            raise ValidationError(_("Write the time as HH:MM, e.g. 09:30."), code="invalid")
        return time(int(match[1]), int(match[2]))


class StrictDateTimeField(forms.CharField):
    """Date and time of day in the given zone's wall clock, YYYY-MM-DD HH:MM. Gives an aware UTC datetime.

    A time that the clock skipped or repeated (daylight saving) is refused."""

    widget = forms.TextInput(
        attrs={"placeholder": "YYYY-MM-DD HH:MM", "autocomplete": "off", "inputmode": "numeric",
               "min": "1900-01-01 00:00", "max": "2100-12-31 23:59"}
    )  # fmt: skip

    def __init__(self, *, zone, **kwargs):
        super().__init__(**kwargs)
        self.zone = zone

    def prepare_value(self, value):
        if isinstance(value, datetime):
            return value.astimezone(self.zone).strftime("%Y-%m-%d %H:%M")
        return value

    def to_python(self, value):
        value = (value or "").strip(" ") if isinstance(value, str) else value
        if not value:
            return None
        match = DATETIME.fullmatch(value)
        if not match or not TIME.fullmatch(match[2]):
            raise ValidationError(_("Write date and time as YYYY-MM-DD HH:MM."), code="invalid")
        clock = TIME.fullmatch(match[2])
        local = datetime.combine(read_date(match[1]), time(int(clock[1]), int(clock[2])))
        earlier, later = (local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if earlier != later or earlier.astimezone(self.zone).replace(tzinfo=None) != local:
            raise ValidationError(_("The clock was changed at this time; choose another minute."), code="invalid")
        if earlier > datetime.now(UTC):
            raise ValidationError(_("This time is in the future."), code="future")
        return earlier

    def has_changed(self, initial, data):
        return self.prepare_value(initial) != data


class ClearTextField(forms.CharField):
    """Text in which every character can be seen. Kept exactly as typed; blank-only text counts as nothing."""

    default_error_messages = TOO_LONG

    def __init__(self, *, max_length=500, lines=1, **kwargs):
        if lines > 1:
            kwargs.setdefault("widget", forms.Textarea(attrs={"rows": lines}))
        self.lines = lines
        super().__init__(max_length=max_length, strip=False, **kwargs)

    def widget_attrs(self, widget):
        """Without maxlength: a browser would cut what is pasted, and nobody would see it."""
        return {name: value for name, value in super().widget_attrs(widget).items() if name != "maxlength"}

    def to_python(self, value):
        value = super().to_python(value).replace("\r\n", "\n")
        if not value.strip():
            return ""
        if unseen := unseen_characters(value):
            names = ", ".join(sorted({f"U+{ord(c):04X}" for c in unseen}))
            raise ValidationError(
                _("There are characters that cannot be seen (%(names)s); type the text again."),
                code="unseen", params={"names": names},
            )  # fmt: skip
        if self.lines == 1 and ("\n" in value or "\t" in value):
            raise ValidationError(_("Write this on one line."), code="lines")
        return value


YES_NO = [("Y", _("Yes")), ("N", _("No"))]


class YesNoField(forms.ChoiceField):
    """Yes or no as radio buttons; gives True, False, or None when not answered."""

    widget = forms.RadioSelect

    def __init__(self, **kwargs):
        super().__init__(choices=YES_NO, **kwargs)

    def prepare_value(self, value):
        return {True: "Y", False: "N"}.get(value, value)

    def clean(self, value):
        value = super().clean(value)
        return {"Y": True, "N": False}.get(value)


def choices_with_blank(choices):
    return [("", "—"), *choices]
