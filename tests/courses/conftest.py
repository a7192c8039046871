import httpx
import pytest

from tests.support.roster_files import Importer


@pytest.fixture
def importer(browser: httpx.AsyncClient, main_app: dict[str, str]) -> Importer:
    return Importer(browser, main_app)
