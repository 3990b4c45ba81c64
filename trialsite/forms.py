"""The forms of sign-in and accounts, and what the forms of all floors share: to sign, to give a reason alone, to choose
what a list shows.

Forms that carry a password are not data forms: those keep a digest of what was sent, and a fast digest of a
password must not be kept. The one exception, SigningForm, names what is never kept."""

from django import forms
from django.utils.translation import gettext_lazy as _

from trialsite.fields import ClearTextField, choices_with_blank
from trialsite.models import Site
from trialsite.roles import Role
from trialsite.saving import DataForm, Saved, answer_form
from trialsite.sign_in import confirm_signer, has_second_factor

LONGEST_ANSWER = 1000  # characters; a longer text is no password, and is not worth hashing


class PasswordField(forms.CharField):
    """Any characters, kept exactly as typed; no limit in the page, where a browser would cut a pasted one."""

    def __init__(self, *, autocomplete="current-password", **kwargs):
        widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
        super().__init__(strip=False, widget=widget, **kwargs)

    def validate(self, value):
        super().validate(value)
        if len(value) > LONGEST_ANSWER:
            raise forms.ValidationError(_("This is too long."), code="too_long")


class CodeField(forms.CharField):
    """Six digits; the blank that apps show in the middle may be typed."""

    def __init__(self, **kwargs):
        attrs = {"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}
        super().__init__(label=_("Six-digit code"), max_length=9, widget=forms.TextInput(attrs=attrs), **kwargs)

    def clean(self, value):
        code = super().clean(value).replace(" ", "")
        if code and not (len(code) == 6 and code.isascii() and code.isdigit()):
            raise forms.ValidationError(_("Write the six digits that the app shows."), code="invalid")
        return code


class SignInForm(forms.Form):
    username = forms.CharField(
        label=_("User name"),
        max_length=150,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "username",
                "autocapitalize": "none",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )
    password = PasswordField(label=_("Password"))


class CodeForm(forms.Form):
    code = CodeField()


class ConfirmForm(forms.Form):
    password = PasswordField(label=_("Password"))


class SignerForm(forms.Form):
    """What proves at a signature that the person is there: the password, and the code where a device is enrolled."""

    def __init__(self, *args, signer, **kwargs):
        super().__init__(*args, **kwargs)
        ask_the_signer(self, signer)


class SigningForm(DataForm):
    """The base of a data form that signs: kept once and against the version that was seen, without what proves who
    signs. Answer it with `answer_form(..., confirm=confirming(request))`."""

    never_kept = ("password", "code")
    is_drafted = False  # what is signed is what is on the page now

    def __init__(self, *args, signer, **kwargs):
        super().__init__(*args, **kwargs)
        ask_the_signer(self, signer)


def ask_the_signer(form, signer):
    form.fields["password"] = PasswordField(label=_("Your password"))
    if has_second_factor(signer):
        form.fields["code"] = CodeField()
        del form.fields["code"].widget.attrs["autofocus"]


def confirming(request):
    """For `answer_form(confirm=...)`: the signer proves who he or she is before anything is signed."""

    def confirm(form):
        confirm_signer(request, password=form.cleaned_data["password"], code=form.cleaned_data.get("code", ""))

    return confirm


class NewPasswordForm(forms.Form):
    password = PasswordField(
        label=_("New password"),
        autocomplete="new-password",
        help_text=_("12 to 128 characters of any kind. A few unrelated words make a good one."),
    )
    again = PasswordField(label=_("New password, again"), autocomplete="new-password")

    def clean(self):
        cleaned = super().clean()
        if "password" in cleaned and "again" in cleaned and cleaned["password"] != cleaned["again"]:
            self.add_error("again", _("The two entries differ."))
        return cleaned


class ChangePasswordForm(NewPasswordForm):
    current = PasswordField(label=_("Present password"))
    field_order = ["current", "password", "again"]


class EnrolForm(CodeForm):
    """`signed` carries the new secret, signed for this person: the page is shown without storing anything."""

    signed = forms.CharField(widget=forms.HiddenInput, max_length=500)


# --- a reason ----------------------------------------------------------------------------------------


def reason_field():
    return ClearTextField(label=_("Reason"), max_length=500, lines=2)


class ReasonForm(DataForm):
    reason = reason_field()


def answer_reason(request, record, act, context, *, back, said):
    """The page of what is done to a record for a reason alone. `act(reason=, version=, by=)` calls the action and gives
    the record; `said` is told at the address `back`. `context` is that of `answer_form`."""

    def save(form):
        saved = act(reason=form.cleaned_data["reason"], version=form.cleaned_data["version"], by=request.user)
        return Saved(back, saved.version, said)

    return answer_form(request, ReasonForm(request.POST or None, record=record), "form.html", context, save)


# --- what a list shows -------------------------------------------------------------------------------


class SiteFilter(forms.Form):
    """What a list shows; everything optional, nothing free."""

    site = forms.ModelChoiceField(None, required=False, label=_("Site"), empty_label=_("all"))

    def __init__(self, *args, sites, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = sites

    @property
    def chosen(self):
        """What was chosen; a choice that does not exist chooses nothing."""
        self.is_valid()
        return getattr(self, "cleaned_data", {})


# --- accounts ----------------------------------------------------------------------------------------


class AccountForm(DataForm):
    full_name = ClearTextField(label=_("Full name"), max_length=200)
    username = ClearTextField(
        label=_("User name"),
        max_length=64,
        help_text=_("Small letters, digits and . _ @ -. It is never given to anybody else."),
    )
    email = forms.EmailField(label=_("E-mail"), max_length=254, required=False)


class RoleForm(DataForm):
    role = forms.ChoiceField(label=_("Role"), choices=choices_with_blank(Role.choices))
    site = forms.ModelChoiceField(
        label=_("Site"), queryset=Site.objects.all(), required=False, empty_label=_("All sites")
    )
    reason = reason_field()


class AccountFilter(forms.Form):
    q = ClearTextField(label=_("Name contains"), max_length=100, required=False)
    role = forms.ChoiceField(label=_("Role"), choices=[("", _("all")), *Role.choices], required=False)
    active = forms.ChoiceField(
        label=_("Account"),
        choices=[("", _("all")), ("yes", _("Active")), ("no", _("Deactivated"))],
        required=False,
    )
