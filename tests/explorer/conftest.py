"""One page and one chromium for all tests of the explorer."""

import pytest

from steinflow import explorer
from tests.explorer.browser import Browser


@pytest.fixture(scope="package")
def page(tmp_path_factory):
    """The written page."""
    return explorer.write(tmp_path_factory.mktemp("explorer") / "explorer.html")


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    """A chromium that lives as long as these tests."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
