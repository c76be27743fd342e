"""In real trainings: ADA's p, resuming, two processes, and what is told when a recipe does not fit together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from i2i_core.errors import RecipeError
from i2i_core.training.run import Run
from i2i_regularize.controller import overfitting
from tests.runs import NO_GRIDS, assert_same_bits, logged, needs_bf16, run_forked, tensors, train

SLIM = "use: stargan_v2/discriminator, channel_base: 64, max_channels: 8"
ADA = f"networks.discriminator={{use: regularize/ada, network: {{{SLIM}}}}}"
ALL = (
    f"networks.discriminator={{use: regularize/ada, network: {{use: regularize/diffaugment, network: "
    f"{{use: regularize/spectral_norm, network: {{{SLIM}}}}}}}}}"
)
OVERFITTING = "losses.discriminator.overfitting={use: regularize/overfitting, weight: 0}"
HOOK = "hooks.ada={use: regularize/ada, network: discriminator, phase: d_latent, log_every: 1, %s}"
EMA = "hooks.ema.networks=[generator, mapping_network, style_encoder, discriminator]"


def test_r_t_is_the_mean_sign_of_real_logits_and_has_no_gradient() -> None:
    logits = torch.tensor([0.1, 3.0, -2.0, 5.0, 0.0], requires_grad=True)
    r_t = overfitting(logits)
    assert float(r_t) == pytest.approx(2 / 5)
    assert not r_t.requires_grad
    assert float(overfitting(torch.tensor([[[1.0, -1.0], [1.0, 1.0]]]))) == 0.5, "a map of logits, as PatchGAN gives"


# p


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run of one step, in which p does not change: batches of 4, p rises from 0 to 1 in 100 pictures."""
    folder = tmp_path_factory.mktemp("regularize") / "run"
    return train(folder, "steps=1", ADA, OVERFITTING, HOOK % "speed: 100, target: 0.5", *NO_GRIDS)


def test_p_moves_every_fourth_step_by_the_sign_of_the_mean_and_stays_within_0_and_1(run: Run) -> None:
    p = run.networks["discriminator"].p
    assert float(p) == 0
    run.step, found = 0, list[float]()
    fours = [
        [1.0, 1.0, 1.0, 1.0],  # up by 4 · 4 / 100
        [0.5, -1.0, 1.0, 1.0],  # mean 0.375: down
        [-1.0, -1.0, -1.0, -1.0],  # down, but not below 0
        [1.0, 0.0, 1.0, 0.0],  # mean 0.5, the target: stays
        *[[0.5, 0.5, 0.5, 0.75]] * 7,
    ]  # up, and not above 1
    run.hooks["ada"].excess.zero_()
    for r_t in (r_t for four in fours for r_t in four):
        run.events.after_phase(run=run, phase="d_latent", losses={"overfitting": torch.tensor(r_t)})
        run.events.after_phase(run=run, phase="d_reference", losses={"overfitting": torch.tensor(-1.0)})
        run.step += 1
        found.append(float(p))
    expected = [0.0, 0.16, 0.0, 0.0, 0.0, 0.16, 0.32, 0.48, 0.64, 0.8, 0.96, 1.0]  # from steps 1, 4, 8, ...
    assert found == pytest.approx([expected[(step + 1) // 4] for step in range(44)], abs=1e-6)


def test_a_training_moves_p_by_the_losses_that_it_logs(tmp_path: Path) -> None:
    target = 0.3
    train(
        tmp_path / "run",
        "steps=14",
        ADA,
        OVERFITTING,
        HOOK % f"speed: 60, every: 3, target: {target}",
        *NO_GRIDS,
        "optimizers.discriminator={lr: 1e-3}",
    )
    lines = logged(tmp_path / "run")
    found = [line["discriminator/p"] for line in lines if "discriminator/p" in line]
    r_t = [line["d_latent/overfitting"] for line in lines if "d_latent/overfitting" in line]
    assert (len(found), len(r_t)) == (14, 14)
    p, expected = 0.0, []
    for step in range(14):
        if step % 3 == 2:
            mean = sum(r_t[step - 2 : step + 1]) / 3
            p = min(1.0, max(0.0, p + (3 * 4 / 60 if mean > target else -3 * 4 / 60)))
        expected.append(p)
    assert found == pytest.approx(expected, abs=1e-6)
    assert len(set(expected)) > 1, "p never moved"
    assert float(tensors(tmp_path / "run")["networks/discriminator: p"]) == pytest.approx(p, abs=1e-6)


# States


def test_a_resumed_run_is_bit_for_bit_the_one_that_was_not_interrupted(tmp_path: Path) -> None:
    """Everything at once: p and what it is about to do, singular vectors, averages, and pictures that are augmented."""
    sets = (ALL, OVERFITTING, HOOK % "speed: 64, target: -1", EMA, "hooks.checkpoint={every: 6, keep: 2}", *NO_GRIDS)
    train(tmp_path / "whole", "steps=7", *sets)
    train(tmp_path / "run", "steps=6", *sets)
    train(tmp_path / "run", "steps=7", resume=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "run")
    kept = tensors(tmp_path / "run")
    assert float(kept["networks/discriminator: p"]) == 0.25
    assert float(kept["hooks/ada: excess"]) > 0, "of steps 5 to 7"
    weight = "network.network.main.0.parametrizations.weight"
    mine, average = (
        kept[f"{part}{weight}.original"] for part in ("networks/discriminator: ", "hooks/ema: discriminator/")
    )
    assert not mine.equal(average)
    for name in (f"{weight}.0._u", f"{weight}.0._v", "p"):
        assert kept[f"networks/discriminator: {name}"].equal(kept[f"hooks/ema: discriminator/{name}"])


def test_two_processes_have_the_same_p_and_the_same_singular_vectors(tmp_path: Path) -> None:
    ended = run_forked(
        tmp_path / "run",
        ALL,
        OVERFITTING,
        HOOK % "speed: 16, every: 1, target: 0.4",
        *NO_GRIDS,
        "hooks.say={use: trouble/say_buffers, network: discriminator}",
        world=2,
    )
    assert ended.codes == [0, 0], ended.printed
    one, two = ([line for line in printed.splitlines() if line.startswith("buffer")] for printed in ended.printed)
    assert one == two
    assert len([line for line in one if line.startswith("buffer p ")]) == 6
    assert len(one) > 6 * 10
    assert len({line for line in one if line.startswith("buffer p ")}) > 1, "p never moved"


BF16 = pytest.param("bf16", torch.float32, marks=needs_bf16)


@pytest.mark.parametrize(("precision", "dtype"), [BF16, ("fp64", torch.float64)])
def test_they_train_in_every_precision(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    run = train(
        tmp_path / "run",
        f"precision={precision}",
        "steps=2",
        ALL,
        OVERFITTING,
        HOOK % "speed: 8, every: 1, target: -1",
        *NO_GRIDS,
    )
    assert {buffer.dtype for buffer in run.networks["discriminator"].buffers()} == {dtype}
    assert float(run.networks["discriminator"].p) > 0
    assert all(tensor.isfinite().all() for tensor in tensors(tmp_path / "run").values())


# What does not fit together


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (
            (OVERFITTING,),
            "--set hooks.ada={use: regularize/ada, network: discriminator, phase: d_l ...: network "
            "discriminator is not wrapped by regularize/ada, so it has no p (write {use: "
            "regularize/ada, network: {use: stargan_v2/discriminator, ...}})",
        ),
        (
            (ADA,),
            "--set hooks.ada={use: regularize/ada, network: discriminator, phase: d_l ...: phase "
            "d_latent has no loss overfitting (known: adversarial, r1)",
        ),
    ],
)
def test_a_hook_without_its_wrapper_or_its_loss_is_told_before_training(
    tmp_path: Path, sets: tuple[str, ...], said: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        train(tmp_path / "run", *sets, HOOK % "target: 0.6", *NO_GRIDS)
    assert str(refused.value) == said
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_wrapper_whose_p_nothing_moves_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        train(tmp_path / "run", ALL, *NO_GRIDS)
    assert str(refused.value) == (
        f"--set {ALL[:79]} ...: network discriminator is wrapped by regularize/ada, but no hook changes "
        "its p from 0 (add {use: regularize/ada, network: discriminator, phase: ...} to the "
        "hooks)"
    )


def test_numbers_that_are_none_are_told_by_the_check(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        train(tmp_path / "run", ADA, OVERFITTING, HOOK % "speed: 0, every: 0, target: 2", *NO_GRIDS)
    assert [problem.message for problem in refused.value.problems] == [
        "hooks.ada.target should be less than or equal to 1, not 2",
        "hooks.ada.speed should be greater than 0, not 0",
        "hooks.ada.every should be greater than 0, not 0",
    ]


def test_a_p_that_is_given_follows_its_schedule_and_resumes(tmp_path: Path) -> None:
    hook = "hooks.p={use: regularize/probability, network: discriminator, p: {ramp: [0.2, 0.6], over: 4}}"
    sets = (ADA, hook, *NO_GRIDS)
    train(tmp_path / "whole", "steps=4", *sets, "hooks.checkpoint={every: 2, keep: 2}")
    train(tmp_path / "run", "steps=2", *sets, "hooks.checkpoint={every: 2, keep: 2}")
    assert float(tensors(tmp_path / "run")["networks/discriminator: p"]) == pytest.approx(0.4)
    train(tmp_path / "run", "steps=4", resume=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "run")
    assert float(tensors(tmp_path / "run")["networks/discriminator: p"]) == pytest.approx(0.6)


def test_a_p_beyond_1_is_refused(tmp_path: Path) -> None:
    hook = "hooks.p={use: regularize/probability, network: discriminator, p: {ramp: [0, 2], over: 6}}"
    with pytest.raises(RecipeError, match=r"hooks\.p\.p should be less than or equal to 1, not 2"):
        train(tmp_path / "run", ADA, hook)
