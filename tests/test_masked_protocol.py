"""What a masked trial's protocol may not say: a difference between the arms that a site would notice."""

from pathlib import Path

import pytest

from trialsite import protocol

EXAMPLE = Path(protocol.__file__).parents[1] / "protocols" / "examples" / "masked-dose-finding.toml"


@pytest.mark.parametrize(("masking", "is_refused"), [("double", True), ("single", True), ("open", False)])
def test_one_dose_tolerance_holds_for_all_arms_of_a_masked_trial(tmp_path, masking, is_refused):
    text = EXAMPLE.read_text(encoding="utf-8").replace('masking = "double"', f'masking = "{masking}"')
    file = tmp_path / "trial.toml"
    file.write_text(text.replace("tolerance_percent = 10", "tolerance_percent = 5", 1), encoding="utf-8")
    if not is_refused:
        assert protocol.load(file)
        return
    with pytest.raises(protocol.ProtocolError, match=r"products: expected one tolerance_percent"):
        protocol.load(file)
