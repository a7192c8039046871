"""Our own Markdown as HTML: what is HTML in it stays text, headings get anchors, code colours."""

import re
from collections import Counter
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

_COLOURS = HtmlFormatter(nowrap=True)
_PAGE = re.compile(r"(?:docs/)?(?P<name>[\w-]+)\.md(?P<anchor>#.*)?")
_SAMPLE = re.compile(r"(?:docs/)?samples/[\w.]+")


def colour(code: str, language: str, _: str = "") -> str:
    """As HTML; empty where no language is named."""
    lexer = get_lexer_by_name(language, startinline=True) if language else None
    return highlight(code, lexer, _COLOURS) if lexer else ""


def _drop_empty_heads(state: StateCore) -> None:
    """A column without a name has no head, which screen readers would announce."""
    for opening, inline, closing in zip(
        state.tokens, state.tokens[1:], state.tokens[2:], strict=False
    ):
        if opening.type == "th_open" and not inline.content:
            opening.tag = closing.tag = "td"


_MARKDOWN = MarkdownIt("commonmark", {"html": False, "highlight": colour}).enable("table")
_MARKDOWN.core.ruler.push("empty_heads", _drop_empty_heads)


def render_block(text: str) -> Markup:
    return _rendered(_MARKDOWN.render(text))


def render_line(text: str) -> Markup:
    return _rendered(_MARKDOWN.renderInline(text))


def render_document(text: str, pages: dict[str, str]) -> tuple[Markup, list[tuple[str, str]]]:
    """With the anchors and titles of its sections. `pages` are the addresses of those files that
    have one; a link to another file is plain text.
    """
    tokens, sections, seen = _MARKDOWN.parse(text), list[tuple[str, str]](), Counter[str]()
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            anchor = _anchor(inline.content, seen)
            opening.attrSet("id", anchor)
            if opening.tag == "h2":
                sections.append((anchor, _plain(inline)))
        _lead(inline.children or [], pages)
    html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return _rendered(html), sections


def _rendered(html: str) -> Markup:
    return Markup(html)  # noqa: S704 - the renderer escapes, and passes no HTML on  # nosec


def _plain(inline: Token) -> str:
    return "".join(each.content for each in inline.children or [])


def _anchor(title: str, seen: Counter[str]) -> str:
    """As GitHub makes them."""
    anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    seen[anchor] += 1
    return anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor] - 1}"


def _lead(tokens: list[Token], pages: dict[str, str]) -> None:
    """Links between files lead to their pages."""
    address: str | None = None
    for token in tokens:
        if token.type == "link_open":
            address = _address(str(token.attrGet("href")), pages)
            token.attrs = {"href": address} if address else {}
        if token.type in {"link_open", "link_close"} and not address:
            token.tag = "span"


def _address(target: str, pages: dict[str, str]) -> str | None:
    if target.startswith(("https://", "/", "#")):
        return target
    if _SAMPLE.fullmatch(target):
        return f"/docs/{target.removeprefix('docs/')}"
    found = _PAGE.fullmatch(target)
    if found is None or found["name"] not in pages:
        return None
    return pages[found["name"]] + (found["anchor"] or "")
