"""Web pages around the texts: menu, cookie banner, sidebar, comments and footer in the page's own language."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from sample.texts import Text, slug

TEMPLATE_NAMES = ("blog", "news", "magazine", "plain")


UTF8_META = '<meta charset="utf-8">'


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a text is published: the template, the host where it is not the language's own site, titles in the sidebar.

    `charset` is the whole meta element that declares the encoding, empty for a page that declares none.
    """

    template: str = "blog"
    host: str | None = None
    popular: tuple[str, ...] = ()
    charset: str = UTF8_META


@dataclass(frozen=True, kw_only=True)
class Chrome:
    """The words around an article in one language, and the hosts of that language by template name."""

    sites: dict[str, str]
    menu: list[str]
    cookies: str
    accept: str
    search: str
    popular: str
    read_more: str
    share: str
    newsletter: str
    comments: str
    replies: list[str]
    rights: str


class Publisher:
    """Puts articles into the pages of the sample's web sites.

    Languages without a site of their own are published on the English one, as they often are.
    """

    def __init__(self, folder: Path) -> None:
        """Read the words and templates that lie in `folder`."""
        chrome: dict[str, Any] = tomllib.loads((folder / "chrome.toml").read_text(encoding="utf-8"))
        self._chrome = {lang: Chrome(**entries) for lang, entries in chrome.items()}
        self._templates = {
            name: Template((folder / "templates" / f"{name}.html").read_text(encoding="utf-8"))
            for name in TEMPLATE_NAMES
        }

    def url(self, text: Text, layout: Layout) -> str:
        """The address under which `publish` puts the text."""
        return f"https://{self._site(text.lang, layout)}/{text.slug}"

    def publish(self, text: Text, layout: Layout) -> str:
        """The page of a text, as HTML."""
        return self.wrap(text, paragraphs_html(text), layout)

    def wrap(self, text: Text, article: str, layout: Layout) -> str:
        """The page of any article markup under the title and address of `text`, as HTML."""
        chrome = self._chrome_of(text.lang)
        popular = [_link(title) for title in (*layout.popular, chrome.read_more)]
        menu = [_link(label) for label in chrome.menu]
        words = ("cookies", "accept", "search", "popular", "share", "newsletter", "comments", "rights")
        return self._templates[layout.template].substitute(
            {name: escape(getattr(chrome, name)) for name in words},
            lang=text.lang,
            title=escape(text.title),
            url=self.url(text, layout),
            site=self._site(text.lang, layout),
            charset=layout.charset,
            article=article,
            menu=_items(menu),
            menu_inline=" | ".join(menu),
            popular_links=_items(popular),
            popular_inline="<br>".join(popular),
            replies=_items(escape(reply) for reply in chrome.replies),
        )

    def _site(self, lang: str, layout: Layout) -> str:
        return layout.host or self._chrome_of(lang).sites[layout.template]

    def _chrome_of(self, lang: str) -> Chrome:
        return self._chrome.get(lang, self._chrome["en"])


def paragraphs_html(text: Text) -> str:
    """The paragraphs of a text as HTML elements."""
    return "\n".join(f"<p>{escape(paragraph, quote=False)}</p>" for paragraph in text.paragraphs)


def _link(label: str) -> str:
    return f'<a href="/{slug(label)}">{escape(label)}</a>'


def _items(entries: Iterable[str]) -> str:
    return "".join(f"<li>{entry}</li>" for entry in entries)
