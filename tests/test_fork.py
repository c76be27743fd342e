"""A run that starts from another one takes all of its state, and heads by the names of their domains."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from i2i_core.errors import I2IError, UsageError
from i2i_core.models.from_run import of_run
from i2i_core.models.heads import ANOTHER, Heads, Transfer, find_heads, take
from i2i_core.plan.check import load
from i2i_core.training import launch
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run
from tests.runs import NO_GRIDS, plugins, status, tensors, train

SETS = (*NO_GRIDS, "hooks.checkpoint={every: 1, keep: 9}")
EMA = ("generator", "mapping_network", "style_encoder")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run to start from: two steps of the quick start."""
    folder = tmp_path_factory.mktemp("fork") / "first-001"
    train(folder, *SETS, "steps=2", "optimizers.default.lr=1e-2")
    return folder


def forked(place: Path, *sets: str) -> Run:
    """A run that starts from `place` with its recipe, before its first step."""
    recipe, assignments = launch.forked(place, None, sets)
    run = Run(load(recipe, assignments, plugins()), make_accelerator("fp32"), None)
    run.start()
    return run


def parts(run: Run) -> dict[str, Tensor]:
    """Everything that a checkpoint of the run would hold, by the names of `tests.runs.tensors`."""
    return {f"{part}: {name}": tensor for part, held in run.saved_parts.pack().items() for name, tensor in held.items()}


def told(run: Run) -> dict[str, str]:
    """The lines of the report by part."""
    assert run.beginning is not None
    return {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in run.beginning.lines()[1:])}


def test_a_fork_takes_networks_optimizers_and_averages_and_counts_from_0(earlier: Path) -> None:
    run, before = forked(earlier, "losses.generator.cycle.weight=3"), tensors(earlier)
    ours = parts(run)
    assert run.step == 0
    assert ours.keys() == before.keys()
    assert [name for name in ours if not torch.equal(ours[name].cpu(), before[name])] == []
    generator = dict(run.networks["generator"].named_parameters())
    assert not torch.equal(generator["from_rgb.weight"], run.eval_networks["generator"].from_rgb.weight)


def test_averages_go_on_as_those_of_the_run_did(earlier: Path, tmp_path: Path) -> None:
    """Also unbiased ones, whose share of the initial weights goes on."""
    run = forked(earlier, *SETS, "steps=1")
    before = [p.clone() for p in run.eval_networks["generator"].parameters()]
    run.trainer.train(run)
    now, trained = (list(nets["generator"].parameters()) for nets in (run.eval_networks, run.networks))
    initial = 0.99**2  # the run's averages leave out that share
    for old, p, average in zip(before, trained, now, strict=True):
        torch.testing.assert_close(average, old.lerp(p, 0.01 / (1 - initial * 0.99)))


def test_domains_are_matched_by_name(earlier: Path) -> None:
    before = tensors(earlier)
    run = forked(earlier, "data.domains=[high_contrast, noto, flat]")
    ours = parts(run)
    for part in ("networks/mapping_network: ", "hooks/ema: mapping_network/"):
        for name in ("0.weight", "6.bias"):
            assert torch.equal(ours[f"{part}unshared.0.{name}"], before[f"{part}unshared.1.{name}"])
            assert torch.equal(ours[f"{part}unshared.2.{name}"], before[f"{part}unshared.0.{name}"])
    moment = "optimizers/style_encoder: unshared.{}.weight/exp_avg_sq"
    assert torch.equal(ours[moment.format(2)], before[moment.format(0)])
    assert not any(name.startswith(moment.format(1)) for name in ours)
    (last,) = [name for name in ours if name.startswith("networks/discriminator") and ours[name].shape == (3, 8, 1, 1)]
    assert torch.equal(ours[last][[2, 0]], before[last])
    discriminator, fresh = run.networks["discriminator"], of_seed(earlier, "data.domains=[high_contrast, noto, flat]")
    assert torch.equal(ours[last][1], parts(fresh)[last][1])
    key = last.partition(": ")[2]
    assert dict(discriminator.named_parameters())[key] not in run.optimizers["discriminator"].optimizer.state
    assert told(run) == {
        "generator": "74 of 74 tensors; optimizer of 72 parameters",
        "mapping_network": "24 of 32 tensors; new: domain noto (from the seed); optimizer of 24 parameters",
        "style_encoder": "22 of 24 tensors; new: domain noto (from the seed); optimizer of 22 parameters",
        "discriminator": "18 of 20 tensors; new: domain noto (from the seed); optimizer of 18 parameters",
        "ema": "121 of 131 tensors",
    }


def of_seed(earlier: Path, *sets: str) -> Run:
    run = Run(load(earlier / "recipe.yaml", sets, plugins()), make_accelerator("fp32"), None)
    run.start()
    return run


def test_a_new_domain_may_start_as_a_named_one_and_others_be_left_out(earlier: Path) -> None:
    before = tensors(earlier)
    run = forked(earlier, "data.domains=[noto, flat]", "heads={noto: high_contrast}")
    ours = parts(run)
    for n, m in ((0, 1), (1, 0)):
        for part in ("networks/mapping_network: ", "hooks/ema: mapping_network/"):
            assert torch.equal(ours[f"{part}unshared.{n}.0.weight"], before[f"{part}unshared.{m}.0.weight"])
    (last,) = [name for name in ours if name.startswith("networks/discriminator") and ours[name].shape == (2, 8, 1, 1)]
    assert torch.equal(ours[last], before[last].flip(0))
    moment = f"{last.replace('networks', 'optimizers')}/exp_avg_sq"
    assert torch.equal(ours[moment], before[moment].flip(0))
    assert told(run)["style_encoder"] == "22 of 22 tensors; domain noto from high_contrast; optimizer of 22 parameters"
    one = forked(earlier, "data.domains=[high_contrast]", "data.targets={high_contrast: high_contrast}")
    assert told(one)["discriminator"] == "20 of 20 tensors; left out: domain flat; optimizer of 20 parameters"
    assert torch.equal(parts(one)[last], before[last][1:])


def test_another_size_takes_the_tensors_whose_shapes_allow_it(earlier: Path) -> None:
    run, before = forked(earlier, "data.image_size=64"), tensors(earlier)
    lines, ours = told(run), parts(run)
    assert lines["mapping_network"] == "24 of 24 tensors; optimizer of 24 parameters"
    assert (
        "of another shape (from the seed), first from_rgb.weight [2, 3, 3, 3], not [1, 3, 3, 3]" in lines["generator"]
    )
    taken = [
        n for n in before if n.startswith("networks/generator: ") and n in ours and torch.equal(ours[n], before[n])
    ]
    assert f"{len(taken)} of 92 tensors" in lines["generator"]
    assert len(taken) > 40


def test_a_fork_says_where_it_started_and_its_resume_does_not_read_the_run(
    earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = Path(shutil.copytree(earlier, "first-001"))
    whole, cut = fork(moved, "steps=3"), fork(moved, "steps=2")
    assert (whole, cut) == (Path("runs/first-001"), Path("runs/first-002"))
    assert capsys.readouterr().err.splitlines()[:3] == [
        "starting from first-001, step 2",
        "  generator:       74 of 74 tensors; optimizer of 72 parameters",
        "  mapping_network: 24 of 24 tensors; optimizer of 24 parameters",
    ]
    facts = json.loads((cut / "start.json").read_text())
    assert [(source["from"], source["step"], source["domains"]) for source in facts["sources"]] == [
        ("first-001", 2, ["flat", "high_contrast"])
    ]
    assert "\nstart_from: first-001/checkpoints/step-00000002  # --set start_from=" in (cut / "recipe.yaml").read_text()
    assert of_run(cut, plugins()).config.training["started from"] == "first-001, step 2"
    shutil.rmtree(moved)
    train(cut, "steps=3", resume=True)
    ours, theirs = tensors(cut), tensors(whole)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert status(cut)["status"] == "finished"


def fork(place: Path, *sets: str) -> Path:
    from tests.runs import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    folder = launch.train(None, plugins(), sets=sets, start_from=place).folder
    assert folder is not None
    return folder


def test_an_optimizer_of_another_kind_and_networks_from_elsewhere_begin_anew(earlier: Path) -> None:
    run = forked(
        earlier,
        "optimizers.mapping_network={use: sgd, lr: 1e-3}",
        f"weights={{style_encoder: {earlier}, generator: null}}",
    )
    begun = {name: len(optimizer.optimizer.state) for name, optimizer in run.optimizers.items()}
    assert begun == {"generator": 0, "mapping_network": 0, "style_encoder": 0, "discriminator": 20}
    for name in ("generator", "style_encoder"):
        for p, average in zip(run.networks[name].parameters(), run.eval_networks[name].parameters(), strict=True):
            assert torch.equal(p, average)
    assert told(run)["generator"] == "0 of 74 tensors; from the seed"


def test_what_cannot_be_started_from_is_one_sentence(earlier: Path, tmp_path: Path) -> None:
    empty = tmp_path / "begun"
    empty.mkdir()
    shutil.copy(earlier / "recipe.yaml", empty)
    for place, said in (
        (empty, f"the run {empty} has no checkpoint yet, so nothing can start from it"),
        (tmp_path, f"there is no run or model in {tmp_path} to start from; the working directory is {Path.cwd()}"),
    ):
        with pytest.raises(I2IError) as error:
            forked(place)
        assert str(error.value) == said
    with pytest.raises(UsageError, match="leave out resume, or the run to start from"):
        launch.train(None, plugins(), run_dir=earlier, resume=True, start_from=earlier)
    with pytest.raises(I2IError, match="heads names the domain owl, which the data does not have"):
        forked(earlier, "heads={owl: flat}")


# Heads, of any network.


class ByName(nn.Module):
    """A head for each domain by its name, an embedding, and two channels for each domain."""

    def __init__(self, domains: Sequence[str]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(2, 2) for name in domains})
        self.codes = nn.Embedding(len(domains), 3)
        self.last = nn.Conv1d(4, 2 * len(domains), 1)
        self.one_hot = nn.Linear(3 + len(domains), 2)  # whose columns nobody can tell apart
        self.layers = nn.ModuleList(nn.ModuleList([nn.Linear(1, 1)]) for _ in domains)


def of_network(domains: Sequence[str]) -> tuple[dict[str, Tensor], Heads]:
    shapes = [{n: t.shape for n, t in ByName(names).state_dict().items()} for names in (domains, [*domains, ANOTHER])]
    return dict(ByName(domains).state_dict()), find_heads(*shapes, domains)


def test_heads_are_found_by_building_a_network_for_one_domain_more() -> None:
    _, heads = of_network(["a", "b"])
    assert heads.axes == {"codes.weight": 0, "last.weight": 0, "last.bias": 0}
    assert {name: item.y for name, item in heads.items.items()} == {
        **{f"heads.{domain}.{kind}": y for y, domain in enumerate("ab") for kind in ("weight", "bias")},
        **{f"layers.{y}.0.{kind}": y for y in (0, 1) for kind in ("weight", "bias")},
    }


def test_heads_move_with_their_domains() -> None:
    found, _ = of_network(["a", "b", "c"])
    own, heads = of_network(["c", "d", "a"])
    transfer = Transfer(heads, [2, None, 0], ["a", "b", "c"])
    taken = take(own, found, transfer)
    made: Mapping[str, Tensor] = taken.tensors
    assert torch.equal(made["heads.c.weight"], found["heads.c.weight"])
    assert torch.equal(made["layers.2.0.weight"], found["layers.0.0.weight"])
    assert torch.equal(
        made["codes.weight"], torch.stack([found["codes.weight"][2], own["codes.weight"][1], found["codes.weight"][0]])
    )
    assert torch.equal(
        made["last.bias"], torch.cat([found["last.bias"][4:], own["last.bias"][2:4], found["last.bias"][:2]])
    )
    assert "heads.d.weight" not in made
    assert taken.lacking == []
    assert {"one_hot.weight", "one_hot.bias"} <= {*taken.whole}
    named = take(own, found, Transfer(heads, [2, 1, 0], ["a", "b", "c"]))
    assert torch.equal(named.tensors["heads.d.weight"], found["heads.b.weight"])
    fewer, heads = of_network(["b"])
    cut = take(fewer, found, Transfer(heads, [1], ["a", "b", "c"]))
    assert torch.equal(cut.tensors["last.weight"], found["last.weight"][2:4])
    assert cut.others == ["one_hot.weight [2, 6], not [2, 4]"]


def test_a_source_of_which_nothing_fits_is_refused(earlier: Path, tmp_path: Path) -> None:
    """Otherwise the run would start from the seed, as if nothing had been said."""
    sets = (f"start_from={earlier}", "steps=1")
    said = "nothing in .* fits the recipe's networks; start from a run or model of the same networks, or from the seed"
    with pytest.raises(I2IError, match=said):
        train(tmp_path / "run", *sets, recipe="pix2pix.yaml")
