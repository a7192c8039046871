"""Which URLs of files are taken at all (SECURITY D20)."""

import httpx
import pytest

from app.errors import UrlNotAllowedError
from app.fetch import MAX_URL_CHARACTERS, check_url
from app.settings import Settings
from tests.support.fake_spark import FakeSpark
from tests.support.remote_files import refusal, remote


def test_an_allowed_host_is_named_with_its_port_unless_that_is_443() -> None:
    domains = ("files.example.com", "files.example.net:8443")
    for url, host in {
        "https://files.example.com/a/b.pdf?sig=%2F": "files.example.com",
        "HTTPS://Files.Example.COM:443/a": "files.example.com",
        "https://files.example.com": "files.example.com",
        "https://files.example.com?a=https://evil.example/": "files.example.com",
        "https://files.example.net:8443/a": "files.example.net:8443",
        f"https://files.example.com/{'a' * (MAX_URL_CHARACTERS - 26)}": "files.example.com",
    }.items():
        assert check_url(url, domains) == host
        assert httpx.URL(url).host == host.partition(":")[0]  # who fetches reads it the same way


FORBIDDEN = [
    *("", "files.example.com/a", "//files.example.com/a", "https:/files.example.com/a"),
    *("http://files.example.com/a", "ftp://files.example.com/a", "https://"),
    *("https://files.example.com:8443/a", "https://files.example.net/a"),
    *("https://files.example.com:443:443/a", "https://files.example.com:0443/a"),
    *("https://files.example.com./a", "https://files.example.com%2e/a"),
    *("https://evil.example/a", "https://files.example.com.evil.example/a"),
    *("https://sub.files.example.com/a", "https://.files.example.com/a"),
    *("https://user@files.example.com/a", "https://user:@files.example.com/a"),
    *("https://files.example.com@evil.example/a", "https://files.example.com:443@evil.example/"),
    *("https://files.example.com\\@evil.example/a", "https://files.example.com/a#b"),
    *(
        "https://files.example.com /a",
        " https://files.example.com/a",
        "https://files.example.com\n",
    ),
    *("https://files.example.com/a\x00", "https://files.example.com/Übung.pdf"),
    *("https://files.example.com/a b", "https://\uff46iles.example.com/a", "https://[::1]/a"),
    *("https://fi\u212aes.example.com/a", "https://127.0.0.1/a", "https://2130706433/a"),
    f"https://files.example.com/{'a' * (MAX_URL_CHARACTERS - 25)}",
]


@pytest.mark.parametrize("url", FORBIDDEN, ids=lambda url: f"D20 {url[:60]!a}")
async def test_any_other_url_is_refused(fake: FakeSpark, url: str) -> None:
    domains = ("files.example.com", "files.example.net:8443", "fikes.example.com")
    with pytest.raises(UrlNotAllowedError) as refused:
        check_url(url, domains)
    hint = refused.value.hint_text
    assert hint
    assert url not in hint or not url
    assert (await refusal(remote(fake, spark_storage_domains=domains), url)).code == (
        "url_not_allowed"
    )


def test_without_a_host_agreed_on_every_url_is_refused() -> None:
    with pytest.raises(UrlNotAllowedError):
        check_url("https://files.example.com/a", Settings(_env_file=None).spark_storage_domains)
