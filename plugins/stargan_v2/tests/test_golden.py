"""The real trainer, from a real recipe, agrees with recorded iterations of the original."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from i2i_stargan_v2.golden import TOLERANCE, Case, _noise, errors, main, rebuild

GOLDEN = Path(__file__).parent / "golden"
ITERATION = {
    "grad_norm.d_latent",
    "grad_norm.d_reference",
    "grad_norm.g_latent",
    "grad_norm.g_reference",
    "after.generator",
    "after.mapping_network",
    "after.style_encoder",
    "after.discriminator",
    "losses",
}
FORWARD = {"mapping_network", "style_encoder", "discriminator", "generator.latent", "generator.reference"}
MASKS = {"fan.raw_heatmaps_sum", "fan.mask_full", "fan.mask_no_mouth", "fan.landmarks", "generator.no_masks"}


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("afhq64", FORWARD | ITERATION),
        ("celeba64", FORWARD | ITERATION | MASKS),
        ("afhq256_full", FORWARD),
        ("celeba256_full", FORWARD | MASKS),
    ],
)
def test_recorded_iterations_are_reproduced(name: str, groups: set[str]) -> None:
    golden = rebuild(GOLDEN / name)
    worst = errors(golden)
    assert worst.keys() == groups
    tolerance = TOLERANCE[golden.case.facts["dtype"]]
    assert {group: error for group, error in worst.items() if not error <= tolerance} == {}


@pytest.mark.parametrize("name", ["afhq64", "celeba64"])
def test_only_biases_that_a_norm_cancels_are_left_out(name: str) -> None:
    noisy = _noise(Case(GOLDEN / name).arrays)
    assert 17 <= len(noisy) <= 25
    assert all(key.startswith("generator.") and key.endswith(".bias") for key in noisy)


def _copy(folder: Path) -> Path:
    for suffix in (".json", ".keys.json", ".npz"):
        shutil.copy(GOLDEN / f"afhq64{suffix}", folder)
    return folder / "afhq64"


@pytest.mark.parametrize(
    "array",
    ["generator.latent", "grad_norm.g_latent.style_encoder.shared.0.weight", "after.discriminator.main.0.weight"],
)
def test_a_changed_array_is_found(tmp_path: Path, array: str, capsys: pytest.CaptureFixture[str]) -> None:
    case = _copy(tmp_path)
    with np.load(case.with_suffix(".npz")) as recorded:
        arrays = dict(recorded)
    arrays[array] = arrays[array] * (1 + 1e-7)
    np.savez(case.with_suffix(".npz"), **arrays)
    assert main([str(case)]) == 1
    assert f"differs in {'.'.join(array.split('.')[:2])}" in capsys.readouterr().out


def test_a_changed_loss_is_found(tmp_path: Path) -> None:
    case = _copy(tmp_path)
    facts = json.loads(case.with_suffix(".json").read_text())
    facts["losses"]["g_latent"]["sty"] *= 1 + 1e-7
    case.with_suffix(".json").write_text(json.dumps(facts))
    assert main([str(case)]) == 1


def test_a_missing_case_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert "is not a golden case" in capsys.readouterr().err
