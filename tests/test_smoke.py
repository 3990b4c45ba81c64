import pytest
from trialsite.models import User

@pytest.mark.django_db
def test_there_is_a_system_account():
    assert User.objects.system().is_system
