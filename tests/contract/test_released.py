"""What was released stays as it was, and what comes after it breaks nothing without saying so.

`redocly diff` judges by semantic versions: with `--check-version` a change that may break a client
asks for a new major one, and one that adds for a new minor one.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from tests.support.checkout import Checkout, make_checkout
from tests.support.patience import patient
from tests.support.programs import GENERATED_CLIENTS, Ended, needs_npm, run_program

PROJECT = Path(__file__).parents[2]
OPENAPI = PROJECT / "openapi"
RELEASED = OPENAPI / "released"
CONTRACTS = ("openapi.yaml", "internal.yaml")
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _version(contract: Path) -> str:
    """Of its `info`; the whole is long, and the parser slow."""
    [version] = re.findall(r"^  version: (\S+)$", contract.read_text(), re.MULTILINE)
    return str(version)


VERSIONS = sorted((each.name for each in RELEASED.iterdir() if each.is_dir()), key=_number)


def test_package_and_contracts_have_one_version() -> None:
    """INTEGRATOR 20"""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    locked = tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    versions = {project["version"]}
    versions |= {each["version"] for each in locked if each["name"] == project["name"]}
    versions |= {_version(OPENAPI / name) for name in CONTRACTS}
    assert versions == {__version__}


def test_nothing_that_was_released_has_changed() -> None:
    """As `sha256sum -c` does."""
    lines = (RELEASED / "SHA256SUMS").read_text().splitlines()
    noted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    assert noted.keys() == {f"{version}/{name}" for version in VERSIONS for name in CONTRACTS}
    for name, digest in noted.items():
        assert hashlib.sha256((RELEASED / name).read_bytes()).hexdigest() == digest, name


def test_what_was_released_bears_its_number() -> None:
    for version in VERSIONS:
        for name in CONTRACTS:
            assert _version(RELEASED / version / name) == version


def test_every_release_has_its_date_in_the_changelog() -> None:
    headings = re.findall(r"^## (.*)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    dated = [re.fullmatch(r"(\S+) \(20\d\d-\d\d-\d\d\)", heading) for heading in headings]
    assert [found[1] for found in dated if found] == VERSIONS[::-1]
    to_come = [] if __version__ in VERSIONS else [f"{__version__}, not released yet"]
    assert [each for each, found in zip(headings, dated, strict=True) if not found] == to_come


@pytest.fixture
def unreleased() -> Iterator[Checkout]:
    """The project before a release, for `make`."""
    with make_checkout() as checkout:
        for name in ("Makefile", "CHANGELOG.md", "pyproject.toml", "uv.lock"):
            shutil.copy(PROJECT / name, checkout.folder)
        shutil.rmtree(checkout.folder / "openapi" / "released" / __version__, ignore_errors=True)
        yield checkout


def _release(checkout: Checkout, heading: str) -> subprocess.CompletedProcess[str]:
    changes = checkout.folder / "CHANGELOG.md"
    text = re.sub("^## .*", f"## {heading}", changes.read_text(), count=1, flags=re.MULTILINE)
    changes.write_text(text)
    (checkout.folder / "synced").write_text(str(checkout.folder.resolve()))
    return subprocess.run(  # noqa: S603 - our own Makefile
        ["make", "release", f"BIN={Path(sys.executable).parent}", "SYNCED=synced"],  # noqa: S607
        cwd=checkout.folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=patient(120),
    )


def test_a_release_keeps_the_contracts_of_its_number_once(unreleased: Checkout) -> None:
    released = unreleased.folder / "openapi" / "released"
    done = _release(unreleased, f"{__version__} (2026-12-01)")
    assert (done.returncode, done.stdout) == (0, f"openapi/released/{__version__}\n"), done.stderr
    for name in CONTRACTS:
        kept = (released / __version__ / name).read_bytes()
        assert kept == (OPENAPI / name).read_bytes()
        line = f"{hashlib.sha256(kept).hexdigest()}  {__version__}/{name}"
        assert line in (released / "SHA256SUMS").read_text().splitlines()
    again = _release(unreleased, f"{__version__} (2026-12-01)")
    assert again.returncode
    assert f"{__version__} is released: raise the version" in again.stderr


@pytest.mark.parametrize(
    ("heading", "stale", "why"),
    [
        pytest.param("{}, not released yet", False, "CHANGELOG has no date yet", id="undated"),
        pytest.param("{} (2026-12-01)", True, "Run `make openapi`", id="stale"),
    ],
)
def test_nothing_is_released_that_is_not_ready(
    unreleased: Checkout, heading: str, *, stale: bool, why: str
) -> None:
    released = unreleased.folder / "openapi" / "released"
    before = (released / "SHA256SUMS").read_bytes()
    if stale:
        (unreleased.folder / "openapi" / CONTRACTS[0]).write_text("openapi: 3.1.0\n")
    ended = _release(unreleased, heading.format(__version__))
    assert ended.returncode
    assert why in ended.stderr
    assert not (released / __version__).exists()
    assert (released / "SHA256SUMS").read_bytes() == before


async def _diff(revision: Path, name: str) -> Ended:
    program = str(GENERATED_CLIENTS / "node_modules" / ".bin" / "redocly")
    last = RELEASED / VERSIONS[-1] / name
    return await run_program(
        program, "diff", last, revision, "--check-version", "--fail-on=none", env=QUIET
    )


@needs_npm
@pytest.mark.parametrize("name", CONTRACTS)
async def test_what_would_break_a_client_has_a_new_major_version(name: str) -> None:
    ended = await _diff(OPENAPI / name, name)
    assert ended.code == 0, ended.output + ended.errors


def _requires(contract: Any) -> None:
    contract["components"]["schemas"]["Course"]["required"].append("spark_org_id")


def _forgets(contract: Any) -> None:
    del contract["paths"]["/spark/webhook/ping"]


def _narrows(contract: Any) -> None:
    contract["components"]["schemas"]["RosterEntry"]["properties"]["action"]["enum"] = ["enroll"]


@needs_npm
@pytest.mark.parametrize(
    ("change", "raised"),
    [
        pytest.param(_requires, False, id="requires"),
        pytest.param(_forgets, False, id="forgets", marks=pytest.mark.soak),
        pytest.param(_narrows, False, id="narrows", marks=pytest.mark.soak),
        pytest.param(_narrows, True, id="narrows in a major one", marks=pytest.mark.soak),
    ],
)
async def test_a_change_that_breaks_is_refused_but_in_a_major_version(
    tmp_path: Path, change: Callable[[Any], None], *, raised: bool
) -> None:
    contract = yaml.safe_load((OPENAPI / CONTRACTS[0]).read_text())
    change(contract)
    if raised:
        contract["info"]["version"] = f"{_number(__version__)[0] + 1}.0.0"
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(contract, sort_keys=False, allow_unicode=True))
    ended = await _diff(changed, CONTRACTS[0])
    assert (ended.code == 0) is raised, ended.output + ended.errors
    assert "major" in ended.output + ended.errors
