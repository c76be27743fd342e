"""`i2i train`: what it prints, how it ends, and the dry run."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from PIL import Image


def test_train_ends_by_naming_the_checkpoint_and_the_pictures(i2i, toy):
    answer = i2i("train", "--recipe", "toy.yaml", *toy)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines() == [
        "run         runs/toy-001",
        "checkpoint  runs/toy-001/checkpoints/step-00000003",
        "picture     runs/toy-001/samples/step-00000003-grid.png",
    ]
    for line in answer.out.splitlines():
        assert Path(line.split()[1]).exists()


def test_train_continues_a_run_and_a_finished_one_says_so(i2i, toy):
    assert i2i("train", "--recipe", "toy.yaml", "--set", "steps=1", "--run-dir", "r", *toy).code == 0
    answer = i2i("train", "--run-dir", "r", "--resume", "--set", "steps=2", *toy)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[1] == "checkpoint  r/checkpoints/step-00000002"
    answer = i2i("train", "--run-dir", "r", "--resume", "--set", "steps=2", *toy)
    assert answer.code == 0
    assert "warning: r is finished: 2 of 2 steps are done\n" in answer.err


def test_a_run_names_the_plugin_file_that_it_needs(i2i, toy):
    assert i2i("train", "--recipe", "toy.yaml", "--set", "steps=1", "--run-dir", "r", *toy).code == 0
    answer = i2i("train", "--run-dir", "r", "--resume")
    todo = f"add --plugin {Path('toy.py').resolve()}"
    assert (answer.code, answer.err) == (5, f"r was trained with plugin toy, which is not loaded; {todo}\n")


def test_a_run_names_the_registry_file_that_it_needs(i2i, toy, monkeypatch):
    monkeypatch.syspath_prepend("")
    Path("team.yaml").write_text("plugins: {toy: {package: toy}}")
    team = Path("team.yaml").resolve()
    answer = i2i(
        "train",
        "--recipe",
        "toy.yaml",
        "--set",
        "hooks.t={use: toy/trouble, error: interrupt}",
        "--run-dir",
        "r",
        "--registry",
        "team.yaml",
    )
    assert answer.err.splitlines()[-1] == (
        f"interrupted; continue with: i2i train --run-dir r --resume --registry {team}"
    )
    answer = i2i("train", "--run-dir", "r", "--resume")
    assert (answer.code, answer.err) == (
        5,
        f"r was trained with plugin toy, which is not loaded; add --registry {team}\n",
    )


def test_train_explains_what_it_lacks(i2i, toy):
    answer = i2i("train")
    assert answer.code == 2
    assert answer.err.endswith("Error: name a recipe with --recipe, for example --recipe stargan_v2.yaml\n")
    answer = i2i("train", "--recipe", "toy.yaml", "--resume", *toy)
    assert answer.code == 2
    assert answer.err.endswith("Error: --resume needs --run-dir, the folder of the run to continue\n")


OF_A_RUN = ("translate {} x.png --out o", "train --from {}", "train --run-dir {} --resume", "export {} --to m")
OF_A_RUN += ("compare {0} {0}", "report {}", "demo {}", "grid {} x.png", "push {} me/model", "video {} x.png")


@pytest.mark.parametrize("command", OF_A_RUN)
def test_one_mistake_has_one_exit_code(i2i, toy, command):
    """A path that is neither a run nor a model ends every command with exit code 2."""
    Path("empty").mkdir()
    for place in ("empty", "nowhere/at/all"):
        assert i2i(*command.format(place).split()).code == 2


def test_a_run_without_a_checkpoint_is_told_by_all_that_need_one(i2i, toy):
    assert i2i("train", "--recipe", "toy.yaml", "--set", "steps=1", "--run-dir", "r", *toy).code == 0
    shutil.rmtree("r/checkpoints")
    for command in ("translate r x.png --out o", "train --from r", "export r --to m"):
        answer = i2i(*command.split(), *toy[-2:])
        assert answer.code == 4 and "no checkpoint" in answer.err and " yet" in answer.err


def test_a_checkpoint_is_translated_with_as_its_run_is(i2i, toy):
    Image.effect_noise((16, 16), 50).convert("RGB").save("x.png")
    sets = ("--set", "steps=2", "--set", "hooks.checkpoint.every=1")
    assert i2i("train", "--recipe", "toy.yaml", *sets, "--run-dir", "r", *toy).code == 0
    for step in (1, 2):
        place = f"r/checkpoints/step-{step:08d}"
        assert i2i("translate", place, "x.png", "--out", f"o{step}", *toy[-2:]).code == 0
    assert i2i("translate", "r", "x.png", "--out", "o", *toy[-2:]).code == 0
    one, two, newest = (sorted(Path(out).glob("*.png"))[0].read_bytes() for out in ("o1", "o2", "o"))
    assert one != two and two == newest


def test_an_unexpected_error_leaves_its_traceback_in_the_logs(i2i, toy):
    answer = i2i("train", "--recipe", "toy.yaml", "--set", "hooks.t={use: toy/trouble, error: type}", *toy)
    assert answer.code == 1
    file = Path("runs/toy-001/logs/traceback-0.txt")
    assert answer.err.splitlines()[-1] == f"unexpected: TypeError: one two (the traceback is in {file})"
    assert "in after_step" in file.read_text()
    assert json.loads(Path("runs/toy-001/status.json").read_text())["exit_code"] == 1


def test_ctrl_c_in_training_exits_130_and_says_how_to_go_on(i2i, toy):
    answer = i2i("train", "--recipe", "toy.yaml", "--set", "hooks.t={use: toy/trouble, error: interrupt}", *toy)
    assert answer.code == 130
    again = "i2i train --run-dir runs/toy-001 --resume --plugin toy.py"
    assert answer.err.splitlines()[-1] == f"interrupted; continue with: {again}"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def test_a_dry_run_says_what_a_run_takes_and_leaves_nothing(i2i, toy, scratch):
    Path("toy.yaml").write_text(Path("toy.yaml").read_text().replace("steps: 3", "steps: 100_000"))
    before = sorted(Path().rglob("*"))
    answer = i2i("train", "--recipe", "toy.yaml", "--dry-run", *toy)
    assert answer.code == 0, answer.err
    lines = [re.split(r" {2,}", line.strip()) for line in answer.out.splitlines()]
    assert ["recolour", "24"] in lines
    assert ["all", "24"] in lines
    found = {line[0]: line[1] for line in lines if len(line) == 2}
    assert re.fullmatch(r"[\d.e-]+ s per iteration on cpu; 100,000 iterations: .+", found["time"])
    assert re.fullmatch(r"[\d.]+ [MG]B; [\d.]+ [MG]B predicted", found["peak memory"])
    assert re.fullmatch(r"[\d.]+ kB, saved and resumed", found["checkpoint"])
    assert found["pictures"] == "1 drawn"
    caches = (".cache", "__pycache__", "torchinductor_")  # ours of decoded pictures, Python's, torch's at first import
    after = [p for p in Path().rglob("*") if not any(part.startswith(caches) for part in p.parts)]
    assert sorted(after) == before


def test_a_dry_run_saves_and_resumes_where_the_recipe_saves_nothing(i2i, toy, scratch):
    answer = i2i("train", "--recipe", "toy.yaml", "--dry-run", "--set", "hooks={checkpoint: null}", *toy)
    assert answer.code == 0, answer.err
    assert "kB, saved and resumed" in answer.out
    assert "none; the recipe has no hook that draws" in answer.out


def test_a_dry_run_fails_as_the_run_would_and_still_leaves_nothing(i2i, toy, scratch):
    dry = ("train", "--recipe", "toy.yaml", "--dry-run", *toy)
    answer = i2i(*dry, "--set", "hooks.t={use: toy/trouble, error: type}")
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "unexpected: TypeError: one two (rerun with -v for the traceback)"
    answer = i2i(*dry, "--set", "hooks.t={use: toy/trouble, error: interrupt}")
    assert answer.code == 130
    assert answer.err.splitlines()[-1] == "the dry run was interrupted; nothing was kept"
    assert list(scratch.iterdir()) == []


def test_a_dry_run_is_for_one_process_from_the_beginning(i2i, toy, monkeypatch):
    dry = ("train", "--recipe", "toy.yaml", "--dry-run", *toy)
    answer = i2i(*dry, "--resume")
    assert answer.code == 2
    assert answer.err.endswith("Error: --dry-run cannot resume a run; leave --resume out\n")
    monkeypatch.setenv("WORLD_SIZE", "2")
    answer = i2i(*dry)
    assert answer.code == 2
    assert "a dry run uses one process" in answer.err
