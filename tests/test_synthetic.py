"""Nobody whom tests, samples or documents name exists (SECURITY section 7)."""

import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PLACES = ("tests", "bench", "docs", "openapi", "README.md", "app/demo.py", "app/play_spark.py")
WRITTEN = {".py", ".md", ".php", ".js", ".mjs", ".sh", ".json", ".yaml", ".csv", ".txt"}
ADDRESS = re.compile(r"[\w.+-]+@((?:[\w-]+\.)+[a-z]{2,})\b", re.IGNORECASE)
# What nobody can own (RFC 2606, RFC 6761).
RESERVED = re.compile(r"(.+\.)?(example(\.(com|net|org))?|test|invalid|localhost)", re.IGNORECASE)


def texts() -> Iterator[str]:
    for place in (PROJECT / name for name in PLACES):
        for file in (place, *place.rglob("*")):
            if file.suffix in WRITTEN and "node_modules" not in file.parts:
                yield file.read_text()


def test_every_mail_address_is_of_a_reserved_domain() -> None:
    domains = {domain for text in texts() for domain in ADDRESS.findall(text)}
    assert "example.com" in domains
    assert [domain for domain in domains if not RESERVED.fullmatch(domain)] == []
