"""docs/operations.md says what is: every variable that the code reads, and the roles as they are really made."""

import re

import pytest

from trialsite import embedded, gunicorn_conf

PAGE = (embedded.BASE / "docs" / "operations.md").read_text()
READS = re.compile(
    r"""environ(?:\.get|\.setdefault|\.pop)?[\[(]\s*["'](\w+)["']"""  # os.environ["X"], .get("X")
    r"""|\bsecret\(["'](\w+)["']"""  # settings.secret("X")
    r"""|["'](TRIALSITE_\w+)["']"""
)
NOT_OURS = {"PYTEST_XDIST_WORKER", "REQUEST_METHOD", "PATH_INFO", "REMOTE_ADDR"}  # pytest's, WSGI's


def variables():
    files = [embedded.BASE / "manage.py"]
    for folder in ("trialsite", "patients", "visits", "safety"):
        files += (embedded.BASE / folder).rglob("*.py")
    files += (embedded.BASE / "tests").glob("*.py")
    found = {name for file in files for groups in READS.findall(file.read_text()) for name in groups if name}
    return sorted(found - NOT_OURS)


@pytest.mark.parametrize("name", variables())
def test_each_variable_that_is_read_is_in_the_operations_page(name):
    assert f"`{name}" in PAGE


@pytest.mark.parametrize("file", ["docs/operations.md", "compose.yaml"])
def test_roles_are_made_outside_as_they_are_made_inside(file):
    text = (embedded.BASE / file).read_text()
    inside = (embedded.BASE / "trialsite" / "embedded.py").read_text()
    for statement in ("REVOKE ALL ON SCHEMA public FROM PUBLIC", "NOSUPERUSER NOCREATEDB NOCREATEROLE"):
        assert statement in inside and statement in text
    for role in (embedded.OWNER, embedded.RUNTIME):
        assert re.search(rf"CREATE ROLE {role} +LOGIN", text)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_pins_by_hash_and_names_no_host(lock):
    text = (embedded.BASE / lock).read_text()
    pins = re.findall(r"^[a-z0-9][\w.\[\],-]*==", text, re.M)
    assert len(pins) > 40
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"://|^--|^-e|@ |^\.", text, re.M)


@pytest.mark.parametrize("secret", ["/visits/feed/", "/set-password/"])
def test_the_log_of_requests_holds_no_address_that_opens_something_by_itself(secret):
    told = gunicorn_conf.without_token(f"{secret}s3cret-token/")
    assert told == f"{secret}..." and gunicorn_conf.without_token("/visits/calendar/") == "/visits/calendar/"
