"""How a download is named (RFC 6266): always an attachment, on one header line."""

import re
import unicodedata
from urllib.parse import quote

from app.text import clean_text


def content_disposition(name: str) -> str:
    """Always a download, under this name: RFC 6266 with the fallback of its appendix D."""
    fallback = re.sub(r'[^ -~]|["%\\/]', "_", _without_accents(name))
    # Safe are the attr-chars of RFC 8187 section 3.2.1.
    encoded = quote(clean_text(name), safe="!#$&+^`|")
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"


def _without_accents(text: str) -> str:
    return "".join(
        character
        for character in unicodedata.normalize("NFD", text)
        if not unicodedata.combining(character)
    )
