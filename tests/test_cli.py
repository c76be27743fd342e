"""The command itself: it starts at once, explains errors, takes subcommands from plugins, runs uninstalled."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path

import click
import pytest

from i2i_cli.main import cli

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "pydantic", "numpy", "accelerate", "rich", "PIL")


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("I2I_REGISTRY", "PYTHONPATH")}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=kept | env)


def seconds(*arguments: str) -> tuple[float, str]:
    """CPU seconds of Python and the system, and the output; the best of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        found.append((sum(after[:2]) - sum(before[:2]), done.stdout))
    return min(found)


def test_help_takes_as_long_as_a_dozen_starts_of_python_and_imports_nothing_heavy():
    script = f"""
import sys
from i2i_cli.main import main
try:
    main(["--help"])
finally:
    print([m for m in {HEAVY} if m in sys.modules])
"""
    took, printed = seconds("-c", script)
    assert printed.splitlines()[-1] == "[]"
    assert took < 12 * seconds("-c", "pass")[0]  # a ratio, since machines and their load differ


def test_help_teaches_every_subcommand(i2i):
    top = i2i("--help")
    assert (top.code, top.err) == (0, "")
    for subcommand in ("train", "validate", "explain", "ls", "show", "init", "plugins"):
        shown = i2i(subcommand, "--help")
        assert shown.code == 0
        assert f"\n  i2i {subcommand}" in shown.out, f"{subcommand} has no example"
        assert any(line.startswith(f"  {subcommand} ") and not line.endswith("...") for line in top.out.splitlines())
    assert "\n  i2i data check" in i2i("data", "check", "--help").out


def test_help_groups_every_subcommand_below_a_heading(i2i):
    lines = i2i("--help").out.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Options:",
        "Train a model:",
        "Use a model:",
        "Find and write recipes and plugins:",
        "Subcommands of plugins:",
    ]
    commands = lines[lines.index("Train a model:") :]
    listed = [line.split()[0] for line in commands if re.match(r"  [a-z]+  +[A-Z]", line)]
    assert listed == cli.list_commands(click.Context(cli))
    assert [line for line in commands if line.endswith("...")] == []  # every summary fits


def test_listing_components_does_not_import_torch():
    done = run(
        "-c",
        """
import sys
from i2i_cli.main import main
try:
    main(["ls", "network"])
finally:
    print("torch" in sys.modules)
""",
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_an_unknown_subcommand_or_option_is_a_usage_error(i2i):
    answer = i2i("trian")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith("Error: there is no subcommand trian (did you mean train?)\n")
    assert i2i("train", "--recipes", "x").code == 2


def test_the_source_tree_runs_with_nothing_of_ours_installed():
    libraries = sysconfig.get_paths()["purelib"]  # -S leaves out what editable installs add to sys.path
    done = run("-S", "-m", "cli", "plugins", "--json", PYTHONPATH=libraries, I2I_REGISTRY="registry.yaml")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows.keys() == {
        "core",
        "stargan_v2",
        "fan_mask",
        "emoji",
        "earth",
        "regularize",
        "classics",
        "spade",
        "multispectral",
        "inpainting",
        "stargan_v1",
        "munit",
        "esrgan",
    }
    assert all(row["components"] and not row["error"] for row in rows.values())
    hidden = run("-S", "-c", "import i2i_stargan_v2", PYTHONPATH=libraries)
    assert "No module named 'i2i_stargan_v2'" in hidden.stderr, "the test must not see installed plugins"


def test_exit_codes_survive_and_other_processes_say_who_they_are():
    done = run("-m", "i2i_cli", "plugins", "--plugin", "no.py", RANK="1")
    assert done.returncode == 5
    assert done.stderr == (
        "rank 1: the plugin file no.py does not load: there is no such file; --plugin takes the path of a .py file\n"
    )


def test_an_unexpected_error_is_one_line_and_with_v_a_traceback(i2i, monkeypatch):
    def fail(*_: object) -> None:
        raise TypeError("one\ntwo")

    monkeypatch.setattr("i2i_core.registry.plugins.discover", fail)
    assert i2i("plugins").err == "unexpected: TypeError: one two (rerun with -v for the traceback)\n"
    answer = i2i("plugins", "-v")
    assert answer.code == 1
    assert answer.err.startswith("Traceback")
    assert answer.err.splitlines()[-1].startswith("unexpected: TypeError: one two")


def test_ctrl_c_before_training_exits_130(i2i, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("i2i_core.registry.plugins.discover", interrupt)
    answer = i2i("plugins")
    assert (answer.code, answer.err.strip()) == (130, "interrupted")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry file with a plugin that adds a subcommand and a format, one that fails, and one that does not load."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("greeting", "sulking"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "greeting.py").write_text("""
import click
from i2i_core import hookimpl

@hookimpl
def i2i_commands(group):
    @group.command()
    def greet():
        '''Say hello.'''
        click.echo("hello")

    group.add_command(greet, "train")  # ours stays ours

@hookimpl
def i2i_importers(group):
    @group.command("old-greeting")
    @click.argument("file")
    def old(file):
        '''A greeting from elsewhere.'''
        raise TypeError(f"cannot greet {file}")
""")
    (tmp_path / "sulking.py").write_text("""
from i2i_core import hookimpl

@hookimpl
def i2i_commands(group):
    raise SystemExit("not today")

@hookimpl
def i2i_importers(group):
    raise ValueError("neither today")
""")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    names = ("greeting", "sulking", "broken")
    file = tmp_path / "team.yaml"
    file.write_text("plugins:\n" + "".join(f"  {n}: {{package: {n}, folder: .}}\n" for n in names))
    return file


def test_plugins_add_subcommands_and_one_that_fails_costs_only_its_own(i2i, registry, monkeypatch):
    monkeypatch.setenv("I2I_REGISTRY", str(registry))
    shown = i2i("--help")
    listed = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "greet Say hello." in listed
    assert "train Train a model from a recipe." in listed
    assert shown.err == "plugin sulking cannot add its subcommands: SystemExit: not today\n"
    assert shown.code == 0
    assert i2i("greet", "-v").out == "hello\n"  # every subcommand shows tracebacks on demand


def test_plugins_add_formats_and_one_that_fails_costs_only_its_own(i2i, registry, monkeypatch):
    monkeypatch.setenv("I2I_REGISTRY", str(registry))
    shown = i2i("import", "--help")
    assert "  old-greeting  A greeting from elsewhere.\n" in shown.out
    assert shown.err == "plugin sulking cannot add its formats: ValueError: neither today\n"
    answer = i2i("import", "old-greetin", "file")
    assert answer.code == 2
    assert answer.err.endswith("Error: there is no format old-greetin (did you mean old-greeting?)\n")


def test_subcommands_of_plugins_show_tracebacks_too(i2i, registry, monkeypatch):
    monkeypatch.setenv("I2I_REGISTRY", str(registry))
    said = "unexpected: TypeError: cannot greet me (rerun with -v for the traceback)\n"
    assert i2i("import", "old-greeting", "me").err.endswith(said)
    assert "Traceback (most recent call last):" in i2i("import", "old-greeting", "me", "-v").err


def test_a_broken_registry_file_does_not_hide_the_help(i2i, monkeypatch):
    monkeypatch.setenv("I2I_REGISTRY", "/nowhere.yaml")
    answer = i2i("--help")
    assert answer.code == 0
    assert answer.err.startswith("plugins cannot be listed: the registry file /nowhere.yaml cannot be read")


def test_plugins_lists_what_loads_and_why_the_rest_does_not(i2i, registry):
    answer = i2i("plugins", "--registry", registry)
    assert answer.code == 0
    assert "ModuleNotFoundError: No module named" in answer.out
    rows = {row["name"]: row for row in json.loads(i2i("plugins", "--json", "--registry", registry).out)}
    assert rows["greeting"]["error"] == ""
    assert rows["broken"]["error"] == (
        f"ModuleNotFoundError: No module named 'nothing_of_that_name', at {registry.with_name('broken.py')}:1"
    )
    assert rows["core"]["components"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("align", "a", "b"), "there is no subcommand align (pip install i2i-gan-fan-mask)"),
        (("masks", "a"), "there is no subcommand masks (pip install i2i-gan-fan-mask)"),
        (("import", "stargan-v2", "x.ckpt"), "there is no format stargan-v2 (pip install i2i-gan-stargan-v2)"),
        (("import", "fan", "x.ckpt"), "there is no format fan (pip install i2i-gan-fan-mask)"),
    ],
)
def test_a_subcommand_of_a_plugin_that_is_not_installed_names_the_plugin(tmp_path, words, message):
    (tmp_path / "registry.yaml").write_text("plugins: {}\n")
    done = run("-m", "i2i_cli", *words, I2I_REGISTRY=str(tmp_path / "registry.yaml"))
    assert done.returncode == 2
    assert message in done.stderr
