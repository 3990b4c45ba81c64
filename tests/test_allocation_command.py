"""The statistician's command, from outside."""

import pytest
from django.core.management import CommandError, call_command

from patients.models import AllocationList, AllocationSlot
from trialsite import actions


@pytest.fixture
def new_site(universe):
    """A third site, whose stratum has no places yet."""
    return actions.create_site(code="03", name="Third", country="CN", timezone="Asia/Shanghai", by=universe.system)


def test_a_statistician_makes_places_for_the_new_stratum_alone(universe, new_site, capsys):
    before = set(AllocationSlot.objects.values_list("pk", flat=True))
    call_command("make_allocation_list", by="sofia", seed="a seed", places=6)
    new = AllocationSlot.objects.exclude(pk__in=before)
    assert set(new.values_list("stratum", flat=True)) == {"03"}
    assert new.count() >= 6
    made = AllocationList.objects.last()
    assert (made.seed, made.made_by) == ("a seed", universe.sofia)
    assert made.sha256 in capsys.readouterr().out


@pytest.mark.parametrize("name", ["chen", "ada", "nobody"])
def test_nobody_else_makes_a_list(universe, new_site, name):
    with pytest.raises(CommandError, match="no statistician"):
        call_command("make_allocation_list", by=name, seed="a seed")
    assert AllocationList.objects.count() == 1


def test_a_list_is_never_made_twice(universe):
    with pytest.raises(CommandError, match="never made twice"):
        call_command("make_allocation_list", by="sofia", seed="another")


def test_a_bad_csv_names_row_and_column_and_changes_nothing(universe, new_site, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text("stratum,sequence,arm\n03,1,MSC\n03,2,PLACEBO\n")
    with pytest.raises(CommandError, match="row 3, column arm"):
        call_command("make_allocation_list", by="sofia", csv=file)
    assert not AllocationSlot.objects.filter(stratum="03").exists()


def test_a_csv_is_imported_as_it_is(universe, new_site, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text("stratum,sequence,arm\n03,1,MSC\n03,2,SALINE\n03,3,SALINE\n")
    call_command("make_allocation_list", by="sofia", csv=file)
    slots = AllocationSlot.objects.filter(stratum="03").order_by("sequence")
    assert list(slots.values_list("arm", flat=True)) == ["MSC", "SALINE", "SALINE"]
