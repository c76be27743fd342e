"""`weights` starts networks of a run from those of models, imported or exported, and of runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from i2i_core.errors import I2IError, RecipeError
from i2i_core.models.folder import read, write
from i2i_core.plan.check import load
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run
from tests.runs import NO_GRIDS, TINY, logged, plugins, tensors, train

SETS = (*NO_GRIDS, "hooks.checkpoint={every: 1, keep: 9}")
EMA = ("generator", "mapping_network", "style_encoder")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two steps of the quick start; it has no discriminator, which no translation needs."""
    from i2i_core.models.from_run import of_run

    folder = tmp_path_factory.mktemp("weights")
    train(folder / "run", "steps=2", "optimizers.default.lr=1e-2", *NO_GRIDS)
    write(of_run(folder / "run", plugins()), folder / "model", {})
    return folder / "model"


@pytest.fixture
def started(model: Path, tmp_path: Path) -> Path:
    """A run of two steps from the model."""
    train(tmp_path / "run", *SETS, f"weights={model}", "steps=2")
    return tmp_path / "run"


def prepared(*sets: str) -> Run:
    """The quick start before its first step."""
    run = Run(load("stargan_v2.yaml", [*TINY, *SETS, *sets], plugins()), make_accelerator("fp32"), None)
    run.start()
    return run


def test_the_first_losses_are_those_of_the_weights_put_in_by_hand(started: Path, model: Path, tmp_path: Path) -> None:
    by_hand = prepared("steps=1")
    for name in EMA:
        by_hand.networks[name].load_state_dict(dict(read(model).networks[name]))
    kept = dict[str, float]()
    log = by_hand.log
    by_hand.log = lambda values: (kept.update(values), log(values))  # type: ignore[method-assign, func-returns-value]
    by_hand.trainer.train(by_hand)
    train(tmp_path / "fresh", *SETS, "steps=1")
    first, fresh = logged(started)[0], logged(tmp_path / "fresh")[0]
    terms = [name for name in first if "/" in name]
    assert len(terms) > 10
    assert {name: first[name] for name in terms} == {name: kept[name] for name in terms}
    same = [name for name in terms if first[name] == pytest.approx(fresh[name], rel=1e-4)]
    assert same == ["d_latent/r1"], "of nothing but the discriminator, before its first step"


def test_averages_start_from_the_weights_and_what_the_model_lacks_from_the_seed(model: Path) -> None:
    run, fresh = prepared(f"weights={model}"), prepared()
    for name in EMA:
        for place, tensor in read(model).networks[name].items():
            assert torch.equal(run.networks[name].state_dict()[place], tensor)
            assert torch.equal(run.eval_networks[name].state_dict()[place], tensor)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            run.networks["discriminator"].state_dict().values(),
            fresh.networks["discriminator"].state_dict().values(),
            strict=True,
        )
    )


def test_what_was_taken_is_said_and_a_resumed_run_needs_no_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    train(folder, *SETS, f"weights={model}", "steps=2")
    assert capsys.readouterr().err.splitlines()[:5] == [
        f"starting from {model}",
        "  generator:       74 of 74 tensors",
        "  mapping_network: 24 of 24 tensors",
        "  style_encoder:   22 of 22 tensors",
        "  discriminator:   0 of 20 tensors; from the seed",
    ]
    train(tmp_path / "whole", *SETS, f"weights={model}", "steps=3")
    kept = model.with_name("moved")
    shutil.move(model, kept)
    try:
        train(folder, "steps=3", resume=True)
    finally:
        shutil.move(kept, model)
    ours, theirs = tensors(folder), tensors(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_each_network_may_start_elsewhere(model: Path) -> None:
    run = prepared(f"weights={{generator: {model}, discriminator: {model.with_name('run')}, style_encoder: null}}")
    earlier, fresh = tensors(model.with_name("run")), prepared()
    for name in EMA[1:]:
        assert same(run.networks[name].state_dict(), fresh.networks[name].state_dict())
    assert same(run.networks["generator"].state_dict(), read(model).networks["generator"])
    assert same(run.networks["discriminator"].state_dict(), part(earlier, "networks/discriminator"))


def test_weights_of_a_run_are_its_averages(model: Path) -> None:
    run = prepared(f"weights={model.with_name('run')}")
    for name in EMA:
        assert same(run.networks[name].state_dict(), read(model).networks[name])


def same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def part(found: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one part of a checkpoint."""
    return {key.partition(": ")[2]: tensor for key, tensor in found.items() if key.startswith(f"{name}: ")}


def refusal(*sets: str) -> str:
    with pytest.raises(I2IError) as error:
        prepared(*sets)
    return str(error.value)


def test_what_does_not_fit_starts_from_the_seed_and_is_said(model: Path) -> None:
    run, fresh = (prepared(*sets, "networks.mapping_network.hidden_dim=8") for sets in ((f"weights={model}",), ()))
    assert run.beginning is not None
    assert run.beginning.lines()[2] == (
        "  mapping_network: 2 of 24 tensors; 22 of another shape (from the seed), first shared.0.weight [16, 16], "
        "not [8, 16]"
    )
    ours, theirs = (dict(r.networks["mapping_network"].state_dict()) for r in (run, fresh))
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == [
        name for name in ours if name.endswith("6.bias") and "unshared" in name
    ]


def test_what_is_no_model_and_a_model_of_other_networks_are_said(model: Path, tmp_path: Path) -> None:
    assert refusal(f"weights={tmp_path}") == (
        f"there is no run or model in {tmp_path} to start from; the working directory is {Path.cwd()}"
    )
    assert refusal(f"weights={{discriminator: {model}}}") == (
        f"{model} has no network discriminator; it has generator, mapping_network, style_encoder"
    )
    found = read(model)
    networks: dict[str, dict[str, Tensor]] = {"F": dict(found.networks["generator"])}
    data: Any = {**found.document.data, "networks": {"F": found.document.data["networks"]["generator"]}}
    found.document.data = data
    write(type(found)("other", found.document, networks), tmp_path / "other", {})
    assert refusal(f"weights={tmp_path / 'other'}") == (
        f"{tmp_path / 'other'} has none of the recipe's networks generator, mapping_network, style_encoder, "
        f"discriminator; it has F"
    )


def test_heads_of_domains_with_other_names_need_to_be_named(model: Path, tmp_path: Path) -> None:
    found = read(model)
    found.document.data |= dict.fromkeys(("domains", "sources", "targets"), ["line", "colour"])
    write(found, tmp_path / "other", {})
    run = prepared(f"weights={tmp_path / 'other'}")
    assert run.beginning is not None
    assert run.beginning.lines()[2] == (
        "  mapping_network: 8 of 24 tensors; new: domain flat, high_contrast (from the seed); "
        "left out: domain line, colour"
    )
    run = prepared(f"weights={tmp_path / 'other'}", "heads={flat: line, high_contrast: colour}")
    for name in EMA:
        assert same(run.networks[name].state_dict(), found.networks[name])
    assert "the run or model to start from does not have (did you mean colour?)" in refusal(
        f"weights={tmp_path / 'other'}", "heads={flat: color}"
    )


def test_a_value_that_is_no_folder_s_name_is_a_mistake_at_its_place() -> None:
    with pytest.raises(RecipeError) as error:
        load("stargan_v2.yaml", ["weights=5"], plugins())
    assert str(error.value) == "--set weights=5: weights should be a path or a mapping, not 5"
