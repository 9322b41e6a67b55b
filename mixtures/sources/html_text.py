"""HTML fragments of posts as plain text: paragraphs, lists, quotations and code blocks keep their shape.

Formulas between dollar signs are text already. The result has no trailing blanks and no more than one empty line in a
row outside of code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, Final

from lxml import etree, html  # type: ignore[import-untyped]

_BLOCKS: Final = frozenset(
    ("address", "article", "aside", "center", "dd", "details", "div", "dl", "dt", "figure", "footer", "form", "header")
) | {"hr", "main", "p", "section", "summary", "table"}
_SILENT: Final = frozenset(["script", "style", "head", "template"])
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_SPACE: Final = re.compile(r"[ \t\r\n\f]+")
_TOO_DEEP: Final = "Excessive depth"  # more than 256 elements within each other: libxml2 gives up the rest
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def html_text(fragment: str) -> str:
    """The text of an HTML fragment; code blocks are fenced with three backticks, or more where they hold such."""
    fragment = _NOT_IN_XML.sub("", fragment)
    if not fragment.strip():
        return ""
    parser = html.HTMLParser()
    try:
        root = html.fragment_fromstring(fragment, create_parent="div", parser=parser)
    except (etree.ParserError, ValueError):
        return _SPACE.sub(" ", fragment).strip()
    if any(error.message.startswith(_TOO_DEEP) for error in parser.error_log):
        return _without_tags(fragment)
    return "\n\n".join(_blocks(root))


def _without_tags(fragment: str) -> str:
    """The text of elements within each other so deep that they are not followed, on one line."""
    return " ".join(unescape(re.sub(r"<[/!a-zA-Z][^>]*>", " ", fragment)).split())


def _blocks(element: Any) -> list[str]:
    """The blocks of text below an element, each without blank lines around it."""
    blocks: list[str] = []
    line = ""
    for piece in _pieces(element):
        if isinstance(piece, str):
            line += piece
            continue
        if block := _tidy(line):
            blocks.append(block)
        line = ""
        blocks += _block(piece)
    if block := _tidy(line):
        blocks.append(block)
    return blocks


def _pieces(element: Any) -> list[Any]:
    """Text and block elements in order; elements within lines are text already."""
    pieces: list[Any] = [_SPACE.sub(" ", element.text or "")]
    for child in element:
        if isinstance(child.tag, str):
            pieces += _inline(child)
        pieces.append(_SPACE.sub(" ", child.tail or ""))
    return pieces


def _inline(element: Any) -> list[Any]:
    tag = element.tag
    if tag in _SILENT:
        return []
    if tag in _BLOCKS or tag in _HEADINGS or tag in ("pre", "ul", "ol", "blockquote", "li", "tr"):
        return [element]
    if tag == "br":
        return ["\n"]
    if tag == "code":
        code = element.text_content()
        return [f"`{code}`"] if code.strip() and "`" not in code else [code]
    return _pieces(element)


def _block(element: Any) -> list[str]:
    tag = element.tag
    if tag == "pre":
        return _fenced(element.text_content())
    if tag in ("ul", "ol"):
        return _list(element, numbered=tag == "ol")
    if tag == "blockquote":
        quoted = "\n\n".join(_blocks(element))
        return [re.sub(r"(?m)^", "> ", quoted).replace("> \n", ">\n")] if quoted else []
    if tag in _HEADINGS:
        text = _on_a_line(_blocks(element))
        return [_HEADINGS[tag] + text] if text else []
    if tag == "table":
        return _table(element)
    return _blocks(element)


def _fenced(code: str) -> list[str]:
    code = code.replace("\r\n", "\n").strip("\n").rstrip()
    if not code.strip():
        return []
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", code))])
    return [f"{fence}\n{code}\n{fence}"]


def _list(element: Any, *, numbered: bool) -> list[str]:
    items: list[str] = []
    n_items = 0
    for child, text in _children(element):
        if child is None or child.tag != "li":
            items += [text] if child is None else _block(child)
            continue
        n_items += 1
        mark = f"{n_items}. " if numbered else "- "
        if body := "\n".join(_blocks(child)):
            items.append(mark + body.replace("\n", "\n" + " " * len(mark)))
    return ["\n".join(items)] if items else []


def _table(element: Any) -> list[str]:
    lines = _table_lines(element)
    return ["\n".join(lines)] if lines else []


def _table_lines(element: Any) -> list[str]:
    lines: list[str] = []
    for child, text in _children(element):
        if child is None:
            lines.append(text)
        elif child.tag == "tr":
            cells = [text if cell is None else _on_a_line(_blocks(cell)) for cell, text in _children(child)]
            lines += [" | ".join(cells)] if any(cells) else []
        elif child.tag in ("thead", "tbody", "tfoot"):
            lines += _table_lines(child)
        elif found := _on_a_line(_blocks(child)):
            lines.append(found)
    return lines


def _children(element: Any) -> Iterator[tuple[Any, str]]:
    """Elements below an element, and text between them that is not blank (without an element)."""
    if text := _on_a_line([element.text or ""]):
        yield None, text
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _SILENT:
            yield child, ""
        if text := _on_a_line([child.tail or ""]):
            yield None, text


def _on_a_line(blocks: list[str]) -> str:
    return " ".join("\n".join(blocks).split())


def _tidy(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().split("\n"))
