"""No package in the lock is older than the release that mended its known advisories.

Advisories cannot be asked for where the tests run, and a check that cannot see them would be green
and empty. So this table is kept by hand: whoever hears of one adds its line.
"""

import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

PACKAGES = tomllib.loads((Path(__file__).parents[2] / "uv.lock").read_text())["package"]

# Package, the first release without it, and what it was.
FLOORS = [
    ("aiohttp", "3.14.1", "the advisories of 2026"),
    ("certifi", "2024.7.4", "CVE-2024-39689"),
    ("cryptography", "44.0.1", "CVE-2024-12797"),
    ("h11", "0.16.0", "CVE-2025-43859: chunked encoding"),
    ("idna", "3.7", "CVE-2024-3651"),
    ("jinja2", "3.1.6", "CVE-2025-27516"),
    ("mako", "1.2.2", "CVE-2022-40023"),
    ("pydantic", "2.4.0", "CVE-2024-3772"),
    ("python-jose", "3.4.0", "CVE-2024-33663, CVE-2024-33664"),
    ("python-multipart", "0.0.31", "CVE-2026-40347, CVE-2026-42561, filename* and `;` smuggling"),
    ("pyyaml", "5.4", "CVE-2020-14343"),
    ("redis", "4.5.4", "CVE-2023-28858, CVE-2023-28859"),
    ("rsa", "4.7", "CVE-2020-25658"),
    ("starlette", "1.3.1", "CVE-2026-48710 (Host), CVE-2026-48817, CVE-2026-54282"),
    ("urllib3", "2.5.0", "CVE-2025-50181, CVE-2025-50182"),
    ("uvicorn", "0.11.7", "CVE-2020-7694, CVE-2020-7695"),
]


@pytest.mark.parametrize(
    ("name", "floor"), [(name, floor) for name, floor, _ in FLOORS], ids=[row[0] for row in FLOORS]
)
def test_locked_version_is_not_below_its_floor(name: str, floor: str) -> None:
    locked = [Version(package["version"]) for package in PACKAGES if package["name"] == name]
    assert locked, "it is locked no more: remove its line"
    assert min(locked) >= Version(floor)
