"""A model's folder: what is refused when it is read."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import i2i
from i2i.card import card
from i2i_core.disk.unknown import open_regular
from i2i_core.errors import CheckpointError, PluginError, UsageError
from i2i_core.models.folder import read, write
from i2i_core.registry.plugins import discover


@pytest.fixture
def model(tiny_model, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "emoji"))


def change(folder: Path, *place: str | int, to: object) -> None:
    """Edit config.json as a person would, who takes its checksum out."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("sha256", None)
    data = config
    for key in place[:-1]:
        data = data[key]
    data[place[-1]] = to
    (folder / "config.json").write_text(json.dumps(config, indent=1))


def add(folder: Path, name: str) -> None:
    """Make a file one that the model is read from."""
    data = (folder / name).read_bytes()
    change(folder, "files", name, to={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})


def refused(folder: Path) -> str:
    """Why a model cannot be used, with its folder as MODEL."""
    with pytest.raises(CheckpointError) as error:
        i2i.load(folder)
    return str(error.value).replace(str(folder), "MODEL")


def test_a_model_is_called_after_its_folder_wherever_one_stands(model, monkeypatch):
    monkeypatch.chdir(model)
    assert i2i.load(".").model.name == "emoji"


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b[:-1], lambda b: b[:1000], lambda b: b[:-1] + bytes([b[-1] ^ 1])],
    ids=["cut short", "cut shorter", "a flipped bit"],
)
def test_weights_that_are_cut_or_tampered_with_are_refused(model, spoil):
    path = model / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    assert refused(model) == "the model MODEL is damaged: model.safetensors does not match its checksum; fetch it again"


def test_a_file_that_may_not_be_read_is_told(model, monkeypatch):
    def denied(path):
        if Path(path).name == "model.safetensors":
            raise PermissionError(13, "Permission denied")
        return open_regular(path)

    monkeypatch.setattr("i2i_core.models.folder.open_regular", denied)  # nothing is denied to root
    assert refused(model) == "MODEL/model.safetensors cannot be read: Permission denied"


def test_files_that_are_missing(model):
    (model / "model.safetensors").unlink()
    assert refused(model) == "the model MODEL lacks model.safetensors; fetch it again"
    change(model, "files", to={})
    assert refused(model).startswith("the model MODEL is damaged: model.safetensors cannot be read (")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../x", "'../../x'"),
        ("a/b", "'a/b'"),
        ("..\\x", "'..\\\\x'"),
        ("con\0", "'con\\x00'"),
        ("\x1b[2J", "'\\x1b[2J'"),
        ("two\nlines", "'two\\nlines'"),
        ("", "''"),
    ],
)
def test_a_domain_cannot_lead_out_of_a_folder_or_command_a_terminal(model, name, shown):
    change(model, "domains", 1, to=name)
    assert (
        f"domains.1: {shown} cannot be part of a file's name: it is empty or long, or has a slash or a control "
        "character"
    ) in refused(model)


@pytest.mark.parametrize("place", ["networks", "tensors"])
def test_no_part_of_a_model_is_called_as_if_it_were_elsewhere(model, place):
    change(model, place, "../evil", to={"use": "stargan_v2/generator"})
    assert "'../evil' cannot be part of a file's name" in refused(model)


def test_targets_are_domains_and_each_is_there_once(model):
    change(model, "targets", to=["flat", "photo"])
    assert "targets: there is no domain photo" in refused(model)
    change(model, "domains", to=["flat", "flat"])
    assert "domains: it names flat twice" in refused(model)


@pytest.mark.parametrize(
    ("place", "to", "why"),
    [
        (("image_size",), [10**9, 10**9], "image_size.0 should be less than or equal to 8192, not 1000000000"),
        (("networks", "generator", "style_dim"), 10**11, "the weights of the model emoji do not fit its networks"),
        (
            ("networks", "generator", "style_dim"),
            2**62,
            "network stargan_v2/generator: a number is too large (Storage size calculation",
        ),
        (("networks", "generator", "channel_base"), 10**26, "the number 100000000000000000000000000 takes more than"),
        (
            ("networks", "generator"),
            {"use": "classics/resnet", "blocks": 2**31},
            "what its config.json describes has far more parts than its weights",
        ),
        (
            ("layouts", "x_real"),
            {"format": {"use": "labels", "classes": 60_000}, "size": [256, 256]},
            "its batch field x_real has 60,000 channels of 256 x 256 pixels",
        ),
        (("layouts", "x_real", "format"), {"use": "labels", "classes": 2**31}, "labels have at most 65,536 classes"),
        (
            ("layouts", "x_real", "format"),
            {"use": "raster", "channels": 2**31, "range": [0, 1]},
            "a raster has at most 65,536 channels, not 2,147,483,648",
        ),
    ],
)
def test_sizes_that_no_memory_holds_are_refused_before_any_is_taken(model, place, to, why):
    change(model, *place, to=to)
    assert why in refused(model)


def test_a_pickle_in_a_model_is_not_even_tried(model):
    torch.save({"a": torch.ones(1)}, model / "fan.safetensors")
    add(model, "fan.safetensors")
    assert refused(model) == "the model MODEL is refused: fan.safetensors is not a safetensors file; no other is read"


def test_of_a_huge_config_only_the_beginning_is_read(model):
    with open(model / "config.json", "wb") as file:
        file.truncate(2**40)  # which takes no disk
    assert "its config.json cannot be read (it has more than 1,048,576 bytes)" in refused(model)


def test_messages_carry_nothing_that_a_terminal_or_a_shell_obeys(model, call):
    change(model, "networks", "generator", to={"use": "evil/g"})
    change(model, "plugins", to={"evil": "evil==1; curl x | sh \x1b[2J"})
    answer = call("translate", model, "photo.jpg")
    assert (answer.code, answer.err) == (
        5,
        "the model emoji needs plugin evil, which is not installed; pip install 'evil==1; curl x | sh \\x1b[2J'\n",
    )


def test_names_are_text_in_a_card(model):
    domains = ["flat", '"; rm -rf ~ | <b> `x` [y](z)']
    change(model, "domains", to=domains)
    change(model, "sources", to=domains)
    change(model, "targets", to=domains)
    told = card(i2i.load(model, device="cpu"))
    assert "--domain '\"; rm -rf ~ | <b> `x` [y](z)'\n" in told
    assert 'domain="\\"; rm -rf ~ | <b> `x` [y](z)"' in told
    assert '| domains | flat, "; rm -rf ~ \\| \\<b\\> \\`x\\` \\[y\\](z) |\n' in told


def test_a_card_says_how_to_install_what_the_model_was_trained_with(model):
    plugins = "i2i-gan-fan-mask==0.1.0 i2i-gan-stargan-v2==0.1.0"
    assert f"\npip install i2i-gan==0.1.0 {plugins}\n" in card(i2i.load(model, device="cpu"))
    change(model, "versions", to={})
    assert f"\npip install i2i-gan {plugins}\n" in card(i2i.load(model, device="cpu"))


def test_a_model_names_no_file_outside_of_its_folder(model):
    change(model, "files", "../secret", to={"size": 1, "sha256": ""})
    assert refused(model) == "MODEL/config.json names the file ../secret, which is not in its folder"
    change(model, "files", to={})
    change(model, "tensors", "masks", to={"use": "fan_mask/heatmaps", "of": "x_real", "weights": "/etc/passwd"})
    assert refused(model) == "the model emoji names the file /etc/passwd, which its folder does not contain"


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (
            ("networks", "generator", "use"),
            "os.system",
            "MODEL/config.json:{line}:11: there is no network called os.system",
        ),
        (
            ("networks", "generator", "max_chanels"),
            8,
            "MODEL/config.json:{line}:4: network stargan_v2/generator has no key max_chanels (did you mean "
            "max_channels?)",
        ),
    ],
)
def test_what_no_plugin_has_is_told_with_its_line(model, place, value, sentence):
    change(model, *place, to=value)
    lines = (model / "config.json").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if json.dumps(value) in text and place[-1] in text)
    assert refused(model) == f"the model emoji cannot be used.\n{sentence.format(line=line)}"


def test_a_config_of_something_else(model):
    change(model, "image_size", to="big")
    line = next(n for n, text in enumerate((model / "config.json").read_text().splitlines(), 1) if "image_size" in text)
    assert refused(model) == (
        f"the model cannot be used. MODEL/config.json:{line}:16: image_size should be a list, not 'big'"
    )
    (model / "config.json").write_text(json.dumps({**json.loads((model / "config.json").read_text()), "colour": 1}))
    assert ": unknown key colour in config.json" in refused(model)
    (model / "config.json").write_text("[1, 2]")
    assert refused(model) == "MODEL/config.json is not that of a model: it should be a mapping"
    (model / "config.json").write_text("{")
    assert refused(model).startswith("the model MODEL is damaged: MODEL/config.json:1:2: not YAML")
    (model / "config.json").unlink()
    with pytest.raises(UsageError, match="emoji is not a model: there is no .*config.json"):
        i2i.load(model)


def test_weights_of_other_networks_are_told_by_name(model):
    change(model, "networks", "mapping_network", "hidden_dim", to=32)
    message = refused(model)
    assert message.startswith(
        "the weights of the model emoji do not fit its networks. only in the networks: "
        "mapping_network: shared.0.bias [32]; "
    )
    assert "only in the weights: mapping_network: shared.0.bias [16]; " in message


def test_a_model_of_a_plugin_that_is_not_installed_says_what_to_install(model, tmp_path):
    (tmp_path / "none.yaml").write_text("plugins: {}")
    change(model, "plugins", to={"stargan_v2": "i2i-gan-stargan-v2==0.1.0"})
    with pytest.raises(PluginError) as error:
        i2i.load(model, plugins=discover(tmp_path / "none.yaml"))
    assert str(error.value) == (
        "the model emoji needs plugin stargan_v2, which is not installed; pip install i2i-gan-stargan-v2==0.1.0"
    )


def test_paths_in_lists_are_files_of_the_model_too(model, tmp_path):
    (tmp_path / "listed.py").write_text("""
from pathlib import Path

from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.tensor("sizes", "listed:Sizes")


class Sizes:
    def __init__(self, *, paths: list[Path]):
        self.found = [path.read_bytes() for path in paths]

    def __call__(self, x_real):
        return None
""")
    change(model, "tensors", to={"masks": {"use": "listed/sizes", "paths": ["/etc/hostname"]}})
    plugins = discover(files=[tmp_path / "listed.py"])
    with pytest.raises(CheckpointError) as error:
        i2i.load(model, plugins=plugins)
    assert str(error.value) == "the model emoji names the file /etc/hostname, which its folder does not contain"
    save_file({"a": torch.ones(1)}, model / "a.safetensors")
    add(model, "a.safetensors")
    change(model, "tensors", "masks", "paths", to=["a.safetensors"])
    i2i.load(model, plugins=plugins)
    write(read(model), tmp_path / "copy", {})
    assert (tmp_path / "copy" / "a.safetensors").exists()


def test_loading_a_model_does_not_wait_for_the_compiler(tiny_model):
    code = f"import sys, i2i; i2i.load({str(tiny_model)!r}); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tiny_model).returncode == 0
