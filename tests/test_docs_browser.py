"""The documentation in a browser, opened as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.chromium import Browser, chromium, requests
from tests.test_docs_pages import site  # noqa: F401

pytestmark = pytest.mark.slow
FOUND = "[...document.querySelectorAll('.md-search-result__link')].map((link) => link.href.split('/').pop())"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as driver:
        yield Browser(driver)


@pytest.mark.parametrize("page", ["index.html", "reference.html"])
def test_a_page_that_is_opened_as_a_file_can_be_searched(browser: Browser, site: Path, page: str) -> None:  # noqa: F811
    browser.open(site / page)
    browser.driver.find_element(By.CSS_SELECTOR, ".md-search__input").send_keys("torchrun")
    found = WebDriverWait(browser.driver, 20, 0.1).until(lambda _: browser.run(FOUND))
    assert any(link.startswith("multi-gpu.html") for link in found)
    assert all(url.startswith(("file:", "data:", "blob:", "about:")) for url in requests(browser.driver))
