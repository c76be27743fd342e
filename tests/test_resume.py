"""A run that was killed goes on as if nothing had happened, or says why it cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from safetensors.torch import load_file

from i2i_core.disk import checkpoints
from i2i_core.disk.seals import sealed, unsealed
from i2i_core.errors import CheckpointError, DataError, RecipeError
from i2i_core.plan.check import load
from i2i_core.plan.resolved import dump

from .runs import NO_GRIDS, assert_same_bits, copy_of, logged, plugins, run_forked, status, tensors, train

KILL = "hooks.kill={use: trouble/signal, step: 4, phase: g_latent, rank: %d}"
NO_KILL = "hooks.kill=null"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps without a break, saved after the third and the sixth."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder)
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps, saved after each."""
    folder = tmp_path_factory.mktemp("short") / "run"
    train(folder, "steps=3", "hooks.checkpoint={every: 1, keep: 3}", *NO_GRIDS)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_three_steps_a_kill_and_three_more_are_six_bit_for_bit(whole: Path, tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "run"
    killed = run_forked(folder, KILL % -1, f"data.workers={workers}")
    assert killed.codes == [-9], killed.printed
    assert [p.name for p in checkpoints.committed(folder / "checkpoints")] == ["step-00000003"]
    assert status(folder)["status"] == "running"
    resumed = run_forked(folder, NO_KILL, f"data.workers={2 - workers}", resume=True)  # at once: no lock is left
    assert resumed.codes == [0], resumed.printed
    assert_same_bits(whole, folder)
    assert [line["step"] for line in logged(folder)] == [1, 2, 3, 4, 5, 6]
    assert status(folder)["status"] == "finished"


def test_two_processes_resume_bit_for_bit(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert run_forked(whole, world=2).codes == [0, 0]
    killed = run_forked(folder, KILL % -1, world=2)
    assert killed.codes == [-9, -9], killed.printed
    resumed = run_forked(folder, NO_KILL, resume=True, world=2)
    assert resumed.codes == [0, 0], resumed.printed
    assert_same_bits(whole, folder)


def test_everything_that_changes_in_training_is_in_the_checkpoint(whole: Path) -> None:
    parts = {name.partition(": ")[0] for name in tensors(whole)}
    networks = ("discriminator", "generator", "mapping_network", "style_encoder")
    assert parts == {*(f"networks/{n}" for n in networks), *(f"optimizers/{n}" for n in networks), "hooks/ema"}


def test_a_kill_while_a_run_ends_costs_nothing_that_its_end_does(short: Path, tmp_path: Path) -> None:
    folder = copy_of(short, tmp_path / "run")
    facts = status(folder)
    (folder / "status.json").write_text(json.dumps({**facts, "status": "running"}))
    said: list[str] = []
    train(folder, "hooks.end=trouble/end", resume=True, warn=said.append)
    assert said == []
    assert (folder / "end").exists()
    assert status(folder)["status"] == "finished"


def test_a_finished_run_says_so(short: Path, tmp_path: Path) -> None:
    folder = copy_of(short, tmp_path / "run")
    before = {p: p.read_bytes() for p in folder.rglob("*.safetensors")}
    said: list[str] = []
    train(folder, "hooks.end=trouble/end", resume=True, warn=said.append)
    assert said == [f"{folder} is finished: 3 of 3 steps are done"]
    assert not (folder / "end").exists()
    assert {p: p.read_bytes() for p in folder.rglob("*.safetensors")} == before
    assert status(folder)["exit_code"] == 0


def test_steps_and_what_has_no_state_may_change(short: Path, tmp_path: Path) -> None:
    folder = copy_of(short, tmp_path / "run")
    changes = (
        "steps=4",
        "data.workers=1",
        "hooks.metrics.every=2",
        "hooks.latent=null",
        "channels_last=false",
        "activation_checkpointing=true",
    )
    run = train(folder, *changes, resume=True)
    assert run.step == 4
    recipe = (folder / "recipe.yaml").read_text()
    assert "\nsteps: 4  # --set steps=4\n" in recipe
    assert "\n  batch_size: 4  # --set data.batch_size=4\n" in recipe  # origins of the first start are kept
    assert "\nmethod: stargan_v2/method  # stargan_v2.yaml:" in recipe


@pytest.mark.parametrize(
    ("change", "diff"),
    [
        ("networks.generator.max_channels=4", "networks.generator.max_channels: 8 -> 4"),
        ("losses.generator.cycle.weight=2", "losses.generator.cycle.weight: 1.0 -> 2.0"),
        ("data.batch_size=2", "data.batch_size: 4 -> 2"),
        ("hooks.ema.decay=0.5", "hooks.ema.decay: 0.99 -> 0.5"),
    ],
)
def test_any_other_change_is_refused_with_its_difference(short: Path, change: str, diff: str) -> None:
    before = (short / "recipe.yaml").read_bytes()
    with pytest.raises(RecipeError) as refused:
        train(short, change, resume=True)
    assert refused.value.exit_code == 2
    assert diff in str(refused.value)
    assert (short / "recipe.yaml").read_bytes() == before


def test_a_learning_rate_may_become_another_schedule(short: Path, tmp_path: Path) -> None:
    folder = copy_of(short, tmp_path / "run")
    for steps, lr in ((4, "{ramp: [1e-5, 0], over: 9}"), (5, "{use: cosine, ramp: [1e-5, 0], over: 9}"), (6, "1e-5")):
        assert train(folder, f"optimizers.default.lr={lr}", f"steps={steps}", resume=True).step == steps


def test_learning_rates_and_the_seed_may_change_and_are_told(short: Path, tmp_path: Path) -> None:
    """What a run needs that diverged."""
    folder, said = copy_of(short, tmp_path / "run"), list[str]()
    run = train(folder, "optimizers.default.lr=1e-5", "seed=7", "steps=4", resume=True, warn=said.append)
    assert said == ["resuming with seed: 0 -> 7", "resuming with optimizers.default.lr: 0.0001 -> 1e-05"]
    assert run.optimizers["generator"].optimizer.param_groups[0]["lr"] == 1e-5
    assert "\nseed: 7  # --set seed=7\n" in (folder / "recipe.yaml").read_text()


def test_another_number_of_processes_is_told(short: Path, tmp_path: Path) -> None:
    folder, said = copy_of(short, tmp_path / "run"), list[str]()
    environment = json.loads((folder / "env.json").read_text())
    (folder / "env.json").write_text(json.dumps(environment | {"world_size": 2}))
    train(folder, "steps=4", resume=True, warn=said.append)
    assert said == [f"{folder} was trained in 2 processes until now; results agree up to rounding"]


def test_networks_resume_with_their_own_weights_whatever_their_order(whole: Path, tmp_path: Path) -> None:
    """Generator and discriminator trade places in the recipe: nothing may be assigned by position."""
    folder = tmp_path / "run"
    train(folder, "steps=3")
    text = unsealed(folder / "recipe.yaml", "")
    start, end = text.index("\nnetworks:\n") + len("\nnetworks:\n"), text.index("\nstart_from: ")
    blocks: list[list[str]] = []
    for line in text[start:end].splitlines():
        if not line.startswith("    "):
            blocks.append([])
        blocks[-1].append(line)
    swapped = "\n".join(line for block in reversed(blocks) for line in block)
    (folder / "recipe.yaml").write_text(sealed(text[:start] + swapped + text[end:]))
    run = train(folder, "steps=6", resume=True)
    assert list(run.networks) == ["discriminator", "style_encoder", "mapping_network", "generator"]
    ours, theirs = tensors(folder), tensors(whole)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not ours[name].equal(theirs[name])] == []


def test_a_checkpoint_of_another_recipe_is_refused_with_both_sides_names(short: Path, tmp_path: Path) -> None:
    folder = copy_of(short, tmp_path / "run")
    sets = ["networks.style_encoder.max_channels=16", "networks.discriminator.max_channels=4"]
    checked = load(short / "recipe.yaml", sets, plugins())
    (folder / "recipe.yaml").write_text(sealed(dump(checked)))
    with pytest.raises(CheckpointError) as refused:
        train(folder, resume=True)
    assert refused.value.exit_code == 4
    said = str(refused.value)
    assert said.startswith(f"checkpoint {folder}/checkpoints/step-00000003 belongs to another recipe. ")
    assert (
        "only in the recipe: hooks/ema: style_encoder/shared.3.conv1x1.weight [16, 8, 1, 1]; "
        "hooks/ema: style_encoder/shared.3.conv2.bias [16]; "
    ) in said
    assert ". only in the checkpoint: hooks/ema: style_encoder/shared.3.conv2.bias [8]; " in said
    assert said.endswith(" more")


def test_domains_that_changed_are_refused_with_both_lists(tmp_path: Path) -> None:
    from PIL import Image

    for domain in ("cat", "dog"):
        (tmp_path / "pictures" / domain).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (32, 32), (60 * number, 90, 200)).save(tmp_path / "pictures" / domain / f"{number}.png")
    folder = tmp_path / "run"
    train(
        folder,
        "steps=1",
        f"data={{use: image_folders, root: {tmp_path}/pictures, image_size: 32, batch_size: 2}}",
        *NO_GRIDS,
    )
    (tmp_path / "pictures" / "cat").rename(tmp_path / "pictures" / "ape")  # as many, but others
    with pytest.raises(CheckpointError) as refused:
        train(folder, "steps=2", resume=True)
    assert refused.value.exit_code == 4
    assert "was trained on the domains cat, dog, and the data now has ape, dog" in str(refused.value)
    (tmp_path / "pictures" / "bee").mkdir()
    (tmp_path / "pictures" / "dog" / "0.png").rename(tmp_path / "pictures" / "bee" / "0.png")
    with pytest.raises(CheckpointError, match="domains cat, dog, and the data now has ape, bee, dog"):
        train(folder, "steps=2", resume=True)
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError):
        train(folder, "steps=2", resume=True)
    assert status(folder)["step"] == 1


def flip_a_byte(file: Path, at: int = 100) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "a flipped byte": lambda path: flip_a_byte(path / "networks" / "generator.safetensors", 5000),
    "a missing file": lambda path: (path / "optimizers" / "discriminator.safetensors").unlink(),
    "a file cut short": lambda path: os.truncate(path / "hooks" / "ema.safetensors", 1000),
    "a cut manifest": lambda path: os.truncate(path / "manifest.json", 200),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "another step's manifest": lambda path: (path / "manifest.json").write_text(
        (path / "manifest.json").read_text().replace('"step": 3', '"step": 2')
    ),
    "another domain's name": lambda path: (path / "manifest.json").write_text(
        (path / "manifest.json").read_text().replace('"flat"', '"flit"')
    ),
}


@pytest.mark.parametrize("harm", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(short: Path, tmp_path: Path, harm: str) -> None:
    folder = copy_of(short, tmp_path / "run")
    DAMAGE[harm](folder / "checkpoints" / "step-00000003")
    (folder / "checkpoints" / ".stage-step-00000009").mkdir()  # of a save that was killed
    said: list[str] = []
    found = checkpoints.newest(folder / "checkpoints", said.append)
    assert found is not None
    assert found.step == 2
    assert len(said) == 1
    assert f"{folder}/checkpoints/step-00000003" in said[0]
    assert said[0].endswith("; trying an older one")


def test_a_run_goes_on_from_before_the_damage_and_no_damage_crowds_out_good_ones(short: Path, tmp_path: Path) -> None:
    folder = copy_of(short, tmp_path / "run")
    for step in (2, 3):
        DAMAGE["a flipped byte"](folder / "checkpoints" / f"step-{step:08d}")
    said: list[str] = []
    keep_one = "hooks.checkpoint={use: checkpoint, every: 2, keep: 1}"
    train(folder, keep_one, "steps=2", resume=True, warn=said.append)
    assert len(said) == 2
    assert [p.name for p in checkpoints.committed(folder / "checkpoints")] == ["step-00000002"]
    checkpoints.verify(folder / "checkpoints" / "step-00000002")
    assert [line["step"] for line in logged(folder)] == [1, 2]
    again = load_file(folder / "checkpoints" / "step-00000002" / "networks" / "mapping_network.safetensors")
    first = load_file(short / "checkpoints" / "step-00000002" / "networks" / "mapping_network.safetensors")
    assert all(again[name].equal(tensor) for name, tensor in first.items())


def test_without_a_good_checkpoint_nothing_is_trained(short: Path, tmp_path: Path) -> None:
    folder = copy_of(short, tmp_path / "run")
    for path in checkpoints.committed(folder / "checkpoints"):
        DAMAGE["a flipped byte"](path)
    said: list[str] = []
    with pytest.raises(CheckpointError, match=f"no checkpoint in {folder}/checkpoints is usable") as refused:
        train(folder, "steps=4", resume=True, warn=said.append)
    assert "step-00000003 is damaged" in said[0]
    assert refused.value.exit_code == 4
    assert status(folder)["exit_code"] == 4


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, "steps=1", "hooks.checkpoint=null", *NO_GRIDS)
    said: list[str] = []
    assert train(folder, resume=True, warn=said.append).step == 1
    assert said == [f"{folder} has no checkpoint yet; starting at step 0"]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_recipe_with_a_value_that_is_no_number_can_be_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, "steps=1", "losses.generator.nothing={use: trouble/nothing, value: .nan}", *NO_GRIDS)
    assert train(folder, "steps=2", resume=True).step == 2


def test_old_checkpoints_stay_if_the_folder_cannot_be_listed(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "committed", broken)
        checkpoints.prune(short / "checkpoints", 1, 3, said.append)
    assert said == [f"{short}/checkpoints cannot be listed: Input/output error; old checkpoints stay"]
    assert len(checkpoints.committed(short / "checkpoints")) == 3
