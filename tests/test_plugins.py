"""Plugins: found by entry points, pinned by a registry file or named as a file; one that fails costs only its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from i2i_core.errors import PluginError
from i2i_core.registry.entries import Entry
from i2i_core.registry.plugins import Plugin, Plugins, discover, load_file

NONE = "is not a registry file: it needs a mapping called plugins, with a package for each"
HEADER = "from i2i_core import hookimpl\n\n\n@hookimpl\ndef i2i_components(registry):\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """site("name", "body of i2i_components", before=""): installs a distribution that is one plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = set(sys.modules)

    def install(name: str, body: str = "    pass", before: str = "", entry: str = "", version: str = "1.2") -> None:
        (tmp_path / f"{name}_plugin.py").write_text(f'"""A plugin."""\n{before}\n{HEADER}{body}\n')
        info = tmp_path / f"{name}_dist-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[i2i.plugins]\n{entry or name} = {name}_plugin\n")

    yield install
    for name in set(sys.modules) - names:
        del sys.modules[name]


def row(plugins: Plugins, name: str, distribution: str = "") -> Plugin:
    (found,) = [r for r in plugins.rows if r.name == name and distribution in ("", r.distribution)]
    return found


def test_what_is_installed_is_found(plugins):
    assert row(plugins, "stargan_v2").distribution == "i2i-gan-stargan-v2"
    assert row(plugins, "stargan_v2").version == "0.1.0"
    assert "stargan_v2/generator" in row(plugins, "stargan_v2").components
    assert [r.name for r in plugins.rows if r.error] == []


def test_names_get_the_entry_points_prefix_and_the_cores_have_none(site):
    site("garden", '    registry.loss("rose", "garden_losses:rose")')
    plugins = discover()
    assert plugins.registry.get("loss", "garden/rose") == Entry("loss", "garden/rose", "garden_losses:rose", "garden")
    assert plugins.registry.get("loss", "rose") is None
    assert plugins.registry.get("loss", "l1").plugin == "core"
    assert row(plugins, "garden").components == ["garden/rose"]
    assert (row(plugins, "garden").version, row(plugins, "garden").distribution) == ("1.2", "garden-dist")


HOOKIMPL = "from i2i_core import hookimpl\n@hookimpl\n"
ADVICE = "; update or uninstall garden-dist"


@pytest.mark.parametrize(
    ("body", "before", "error"),
    [
        (
            "    pass",
            "import nothing_of_that_name",
            f"ModuleNotFoundError: No module named 'nothing_of_that_name', at MODULE:2{ADVICE}",
        ),
        ("    pass", "def broken(:", f"SyntaxError: invalid syntax (garden_plugin.py, line 2){ADVICE}"),
        ("    pass", "raise SystemExit(3)", f"SystemExit: 3, at MODULE:2{ADVICE}"),
        ("    pass", "raise GeneratorExit('bye')", f"GeneratorExit: bye, at MODULE:2{ADVICE}"),
        ("    pass", "class Stop(KeyboardInterrupt): pass\nraise Stop", f"Stop: , at MODULE:3{ADVICE}"),
        ("    pass", "raise ValueError('one\\n  two')", f"ValueError: one two, at MODULE:2{ADVICE}"),
        (
            "    pass",
            "raise BaseExceptionGroup('many', [ValueError(1)])",
            f"ExceptionGroup: many (1 sub-exception), at MODULE:2{ADVICE}",
        ),
        ("    1 / 0", "", f"ZeroDivisionError: division by zero, at MODULE:8{ADVICE}"),
        (
            "    registry.netwerk('a', 'b:c')",
            "",
            f"AttributeError: 'Registrar' object has no attribute 'netwerk', at MODULE:8{ADVICE}",
        ),
        (
            "    pass",
            f"{HOOKIMPL}def i2i_recipes():\n    1 / 0",
            f"ZeroDivisionError: division by zero, at MODULE:5{ADVICE}",
        ),
        (
            "    registry.loss('a', 'b:c')\n    registry.loss('a', 'b:d')",
            "",
            "loss garden/a is already registered by garden",
        ),
        ("    registry.loss('a', 'b.c')", "", "loss garden/a: the target should be package.module:Object, not b.c"),
        (
            "    pass",
            f"{HOOKIMPL}def i2i_component(registry): ...",
            "there is no hook called i2i_component (did you mean i2i_components?)",
        ),
        (
            "    pass",
            f"{HOOKIMPL}def i2i_check(recpie): ...",
            "the hook i2i_check has no argument recpie (did you mean recipe?)",
        ),
        ("    pass", "def i2i_check(recipe): ...", "i2i_check is not marked with @hookimpl"),
        (
            "    pass\ndel i2i_components",
            "",
            "garden_plugin is not a plugin: no function in it is marked with @hookimpl",
        ),
    ],
)
def test_a_plugin_that_fails_is_a_row_with_its_error_and_leaves_nothing(site, tmp_path, body, before, error):
    site("garden", body, before)
    site("meadow", '    registry.loss("daisy", "meadow:daisy")')
    plugins = discover()
    assert row(plugins, "garden").error == error.replace("MODULE", str(tmp_path / "garden_plugin.py"))
    assert row(plugins, "garden").components == []
    assert not [e for e in plugins.registry if e.plugin == "garden"]
    assert row(plugins, "meadow").components == ["meadow/daisy"]
    assert not plugins.manager.has_plugin("garden")


@pytest.mark.parametrize(
    ("needs", "error"),
    [
        ("i2i-gan>=0.1,<1", ""),
        ("torch>=99", ""),
        ("i2i-gan>=99; extra == 'new'", ""),
        ("i2i-gan>=99; python_version < '3'", ""),
        (
            "I2I_GAN (<0.1)",
            'it needs i2i-gan<0.1, and 0.1.0 is installed; pip install "i2i-gan<0.1", or another version of '
            "garden-dist",
        ),
    ],
)
def test_only_another_core_that_is_needed_here_keeps_a_plugin_out(site, tmp_path, needs, error):
    site("garden")
    with open(tmp_path / "garden_dist-1.2.dist-info" / "METADATA", "a") as metadata:
        metadata.write(f"Requires-Dist: {needs}\n")
    assert row(discover(), "garden").error == error


def test_of_two_distributions_of_one_plugin_name_none_is_used(site):
    site("meadow", '    registry.loss("daisy", "meadow:daisy")', entry="flowers")
    site("garden", '    registry.loss("rose", "garden:rose")', entry="flowers", before="raise RuntimeError('it ran')")
    site("park", '    registry.loss("oak", "park:oak")')
    plugins = discover()
    rows = [r for r in plugins.rows if r.name == "flowers"]
    assert [(r.distribution, r.version) for r in rows] == [("garden-dist", "1.2"), ("meadow-dist", "1.2")]
    assert {r.error for r in rows} == {
        "garden-dist 1.2 and meadow-dist 1.2 bring a plugin called flowers, so it is unclear which one is meant; "
        "uninstall all but one, or list that one in a registry file"
    }
    assert not [e for e in plugins.registry if e.plugin == "flowers"]
    assert plugins.hint_for_plugin("flowers") == f"plugin flowers is not in use: {rows[0].error}"
    assert row(plugins, "park").components == ["park/oak"]


def test_a_distribution_cannot_replace_stargan_v2(site, i2i, monkeypatch):
    site("aaa", '    registry.network("generator", "aaa:generator")', entry="stargan_v2")
    problem = (
        "plugin stargan_v2 is not in use: aaa-dist 1.2 and i2i-gan-stargan-v2 0.1.0 bring a plugin called stargan_v2"
    )
    for command in (["validate", "stargan_v2.yaml"], ["show", "stargan_v2/generator"], ["init", "stargan_v2.yaml"]):
        answer = i2i(*command)
        assert answer.code == 2 and problem in answer.err, answer
    listed = i2i("plugins").out
    assert "aaa-dist" in listed and "i2i-gan-stargan-v2" in listed


def test_a_plugin_cannot_take_a_name_of_the_core(site):
    site("bce", '    registry.loss("bce", "x:y")', entry="gan")
    plugins = discover()
    assert row(plugins, "gan").error == "loss gan/bce is already registered by core"
    assert plugins.registry.get("loss", "gan/bce").plugin == "core"


def test_a_target_that_does_not_import_is_an_explained_error_when_it_is_used(site):
    site(
        "garden",
        '    registry.loss("rose", "nothing_of_that_name:rose")\n    registry.loss("lily", "json:lily")\n'
        '    registry.loss("fern", "math:pi")',
    )
    registry = discover().registry
    for name, error in (
        ("rose", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("lily", "AttributeError: module 'json' has no attribute 'lily'"),
        ("fern", "TypeError: pi is neither a class nor a function"),
    ):
        with pytest.raises(PluginError) as caught:
            registry.get("loss", f"garden/{name}").load()
        assert str(caught.value) == (
            f"loss garden/{name} of plugin garden does not load: {error}; run i2i plugins, then update or uninstall it"
        )


def test_what_is_no_error_is_one_when_a_component_is_used(site, tmp_path):
    site("garden", '    registry.loss("rose", "garden_losses:rose")')
    (tmp_path / "garden_losses.py").write_text("raise GeneratorExit")
    with pytest.raises(PluginError, match="loss garden/rose of plugin garden does not load: GeneratorExit: ;"):
        discover().registry.get("loss", "garden/rose").load()


def test_an_interruption_by_the_user_is_none_of_the_plugins(site):
    site("garden", before="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        discover()


# A registry file.


def listed(folder: Path, text: str) -> Path:
    (folder / "team.yaml").write_text(text)
    return folder / "team.yaml"


def test_a_registry_file_is_the_allow_list(site, tmp_path):
    site("garden", '    registry.loss("rose", "garden:rose")')
    site("meadow")
    file = listed(
        tmp_path, "plugins: {flowers: {package: garden_plugin}, off: {package: meadow_plugin, enabled: false}}"
    )
    plugins = discover(file)
    assert [r.name for r in plugins.rows] == ["core", "flowers"]
    assert plugins.registry.names("loss")[-1:] == ["r2"]
    assert "flowers/rose" in plugins.registry.names("loss")


def test_the_environment_names_a_registry_file_and_the_argument_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_REGISTRY", str(listed(tmp_path, "plugins: {}")))
    assert [r.name for r in discover().rows] == ["core"]
    (tmp_path / "more").mkdir()
    file = listed(tmp_path / "more", "plugins: {nobody: {package: nothing_of_that_name}}")
    assert [r.name for r in discover(file).rows] == ["core", "nobody"]


def test_a_folder_of_a_registry_file_is_importable_without_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "hidden_plugin.py").write_text(f"{HEADER}    registry.loss('a', 'b:c')\n")
    plugins = discover(listed(tmp_path, "plugins: {hidden: {package: hidden_plugin, folder: here}}"))
    assert row(plugins, "hidden").components == ["hidden/a"]
    del sys.modules["hidden_plugin"]


def test_a_pinned_version_that_is_not_the_installed_one_is_not_used(site, tmp_path):
    site("garden", '    registry.loss("rose", "garden:rose")')
    text = "plugins: {garden: {package: garden_plugin, distribution: garden-dist, version: '%s'}}"
    refused = discover(listed(tmp_path, text % ">=2"))
    assert row(refused, "garden").error == (
        '1.2 is installed, the registry file wants >=2; pip install "garden-dist>=2"'
    )
    assert not [e for e in refused.registry if e.plugin == "garden"]
    assert row(discover(listed(tmp_path, text % ">=1,<2")), "garden").components == ["garden/rose"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", NONE),
        ("plugins: [a]", NONE),
        ("plugins: {a: b}", NONE),
        ("plugins: {a: {folder: b}}", NONE),
        ("plugins: {a: {package: b, enabled: no}}", "enabled of plugin a should be true or false"),
        ("plugins: {a: {package: b, version: new}}", "version of plugin a is not a version range: new"),
        ("plugins: {a: {package: b},\n a: {package: c}}", ":2:2: the key a is given twice, first in line 1"),
        (
            "plugins: {",
            ":1:11: not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        ),
        (
            "plugins: !!python/object/apply:os.getcwd []",
            ":1:10: tags such as !!python/object/apply:os.getcwd are not allowed",
        ),
        (b"\xff", "cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (None, "cannot be read: [Errno 2] No such file or directory"),
    ],
)
def test_a_registry_file_that_is_none_is_an_explained_error(tmp_path, text, error):
    file = tmp_path / "team.yaml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PluginError) as caught:
        discover(file)
    assert error in str(caught.value)
    assert str(file) in str(caught.value)


# A plugin in one file.


def test_a_plugin_in_one_file_has_its_name_for_a_prefix(plugins):
    assert row(plugins, "tiny").distribution.endswith("tests/tiny.py")
    assert plugins.registry.get("network", "tiny/generator").load().__name__ == "Generator"


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("nowhere.py", None, "there is no such file; --plugin takes the path of a .py file"),
        ("flowers.txt", "x = 1", "there is no such file; --plugin takes the path of a .py file"),
        ("folder.py", "", "there is no such file; --plugin takes the path of a .py file"),
        ("flowers.py", "1 / 0", "ZeroDivisionError: division by zero, at FILE:1"),
        ("meadow.py", "\nexit(2)", "SystemExit: 2, at FILE:2"),
        (
            "garden.py",
            f"{HEADER}    registry.loss('a', 'b.c')",
            "loss garden/a: the target should be package.module:Object, not b.c",
        ),
        ("json.py", "x = 1", "it would hide the Python module json; give it another name"),
        ("wave.py", "x = 1", "it would hide the Python module wave; give it another name"),
    ],
)
def test_a_plugin_file_that_cannot_be_used_is_an_explained_error(tmp_path, name, text, error):
    file = tmp_path / name
    if text:
        file.write_text(text)
    elif text == "":
        file.mkdir()
    with pytest.raises(PluginError) as caught:
        discover(files=(file,))
    assert str(caught.value) == f"the plugin file {file} does not load: {error.replace('FILE', str(file))}"


def test_a_plugin_file_may_not_be_called_like_a_plugin(tmp_path):
    for name, distribution in (("stargan_v2", "i2i-gan-stargan-v2"), ("core", "i2i-gan")):
        (tmp_path / f"{name}.py").write_text(f"{HEADER}    pass\n")
        with pytest.raises(PluginError) as caught:
            discover(files=(tmp_path / f"{name}.py",))
        assert str(caught.value) == (
            f"the plugin file {tmp_path / name}.py does not load: "
            f"{distribution} already brings a plugin called {name}; rename the file"
        )


def test_a_plugin_file_may_be_loaded_again_after_it_changed(tmp_path):
    file = tmp_path / "changing.py"
    for value in (1, 22):
        file.write_text(f"value = {value}\n")
        assert load_file(file).value == value
    del sys.modules["changing"]


def test_a_plugin_file_may_be_a_link_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "linked.py").write_text("value = 1\n")
    (tmp_path / "linked.py").symlink_to("far/linked.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # as `python -m i2i_cli` has it
    assert load_file(Path("linked.py")).value == 1
    del sys.modules["linked"]


def test_bundled_recipes_are_found_by_their_file_names(plugins):
    assert {"stargan_v2.yaml", "stargan_v2_afhq.yaml", "stargan_v2_celeba_hq.yaml"} <= plugins.recipes().keys()
