"""i2i demo as a person uses it: in headless Chromium, from the upload to the download."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Keys

import i2i
from i2i_emoji.drawings import Drawings
from tests.browser import Shown, demo
from tests.chromium import chromium, requests

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the server keeps what is temporary."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def address(tiny_run, folder) -> Iterator[str]:
    with demo(tiny_run, folder) as address:
        yield address
    assert list(folder.iterdir()) == []  # nothing stays


@pytest.fixture
def picture(tmp_path) -> Path:
    Drawings(split="val").picture(0, 151).save(tmp_path / "penguin.png")
    return tmp_path / "penguin.png"


@pytest.fixture
def page(address) -> Iterator[Shown]:
    with chromium(1200, 900) as browser:
        yield Shown(browser, address)


def press(page: Shown, *keys: str) -> None:
    for key in keys:
        ActionChains(page.browser).send_keys(key).perform()


def tab_to(page: Shown, selector: str) -> None:
    """Press Tab until the focus is there."""
    for _ in range(40):
        press(page, Keys.TAB)
        if page.browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_an_upload_is_translated_and_deleted_and_nothing_leaves_the_machine(page, tiny_run, folder, picture, address):
    page.drop(picture)
    download = page.one("a.download")
    assert download.get_attribute("download") == "penguin-high_contrast.png"
    made = Image.open(io.BytesIO(base64.b64decode(page.translation().partition(",")[2])))
    expected = i2i.load(tiny_run, device="cpu")(picture, domain="high_contrast", seed=0)
    assert np.abs(np.asarray(made).astype(int) - np.asarray(expected)).max() <= 1
    page.until(lambda: len(page.all(".styles img")) == 8)
    assert [file for file in folder.rglob("*") if file.is_file()] == []
    texts = [image.get_attribute("alt") for image in page.all("#result img")]
    assert texts == ["Your picture, resized for the model", "Your picture translated into high_contrast"]
    addresses = requests(page.browser)
    assert len(addresses) > 20
    site, _, token = address.partition("?token=")
    assert [url for url in addresses if not url.startswith((site, "data:", "blob:"))] == []
    assert token and not [url for url in addresses if token in url]  # but for the first one, which leads on
    assert page.browser.current_url == site


def test_a_browser_without_the_token_is_refused(address):
    with chromium() as browser:
        browser.get(address.partition("?")[0])
        assert browser.find_element("tag name", "body").text.startswith("open the address that i2i demo printed")
        browser.get(address)
        browser.get(address.partition("?")[0])  # as a bookmark
        assert Shown(browser, address.partition("?")[0]).one("#picture")


def test_the_page_can_be_used_with_the_keyboard_alone(page, picture):
    page.drop(picture)  # a browser's file dialog is not the page's
    page.until(lambda: len(page.all(".styles img")) == 8)
    first = page.translation()
    tab_to(page, ".styles input")
    press(page, Keys.ARROW_LEFT)  # to the last one: the one at the right is the second style to blend with
    second = page.settles(first)
    tab_to(page, "input[type=range]")
    press(page, *[Keys.ARROW_LEFT] * 10)
    third = page.settles(second)
    tab_to(page, "input[type=checkbox]")
    press(page, Keys.SPACE)
    page.changes(third)
    tab_to(page, "a.download")
    outline = page.browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_reference_gives_its_style_and_two_styles_blend(page, picture, tmp_path):
    Drawings(split="val").picture(1, 130).save(tmp_path / "castle.png")
    page.drop(picture)
    by_latent = page.translation()
    page.until(lambda: len(page.all(".styles img")) == 8)  # until then the page moves under the pointer
    page.one("#choices input[value='a reference']").click()
    asked = "Add a reference: a picture of the domain high_contrast."
    page.until(lambda: page.one("#result").text == asked)
    page.drop(tmp_path / "castle.png", "#choices")
    by_reference = page.translation()
    assert by_reference != by_latent
    page.one("input[type=checkbox]").click()
    page.changes(by_reference)


def test_a_bad_upload_is_told_in_the_page_and_the_next_one_works(page, picture, tmp_path, folder):
    (tmp_path / "notes.png").write_text("no picture")
    page.drop(tmp_path / "notes.png")
    said = "notes.png cannot be used as a picture: it is text, not a picture"
    assert page.one("#picture [role=alert]").text == said
    page.drop(picture)
    page.one("a.download")
    assert page.all("#picture [role=alert]") == []
    assert [file for file in folder.rglob("*") if file.is_file()] == []


def test_a_phone_shows_one_column_with_the_result_in_sight(address, picture):
    with chromium(390, 844, phone=True) as browser:
        page = Shown(browser, address)
        page.drop(picture)
        page.until(lambda: len(page.all(".styles img")) == 8)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        page.one("input[type=checkbox]").click()
        page.until(lambda: len(page.all(".styles img")) == 16)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        browser.execute_script("window.scrollTo(0, 900)")
        place = browser.execute_script("return document.querySelector('#result').getBoundingClientRect().toJSON()")
        assert 0 <= place["top"] < place["bottom"] < 844 / 2
