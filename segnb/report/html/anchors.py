"""Anchors, numbers, links and citations of a page, made when its chapters are joined.

Figures and tables are numbered in the order of the page, so numbers differ between reports. Anchors do not
depend on the order: `fig-fcn-trimap` consists of the chapter, or the claim, and the function that draws the
figure (`segnb.report.html.about`). In the text of a notebook, `[the figure](#fig-trimap)` links to a figure
of the same chapter, and `[the figure](fcn.ipynb#fig-trimap)` to one of another chapter. In the page, the text
of such a link is "Figure 12". Links to tables begin with `#table-`.

A figure and a claim link to each other if the figure shows the metric of one of the claim's comparisons, with
all networks of that comparison, or if the figure is in the block of the claim.

Citations become links to the list of the works that a page cites; `works.toml` has the data of works.
"""

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from segnb.claims.ledger import STUDY

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
PAGE_IDS = ("main", "training-runs", "references")
AS_WRITTEN = ("a", "code", "pre", "script", "style", "summary")  # text in which no citation becomes a link


# --- figures, tables and claims ---


class Item(NamedTuple):
    """A figure or table of a page.

    Attributes:
        tag: the element that has the anchor
        number: as in "Figure 12"
        name: such as "fig-trimap", by which notebooks link to it
        about: see `segnb.report.html.about`; empty if segnb did not make it
        claim: anchor of the claim in whose block it is; "" outside
    """

    tag: Tag
    number: str
    name: str
    about: dict
    claim: str

    @property
    def caption(self) -> Tag:
        """Return the caption, adding one if it is missing."""
        table = self.tag.find("table")
        name, inside = ("caption", table) if table else ("figcaption", self.tag)
        if (caption := inside.find(name)) is None:
            caption = new_tag(name)
            inside.insert(0 if table else len(inside.contents), caption)
        return caption


def text_of(tag: Tag) -> str:
    """Return the text of a tag with single spaces."""
    return " ".join(tag.get_text().split())


def new_tag(name: str, text: str = "", **attributes: str) -> Tag:
    """Return a new tag; an underscore at the end of an attribute's name is dropped, as in `class_`."""
    tag = BeautifulSoup().new_tag(name, attrs={key.rstrip("_"): value for key, value in attributes.items()})
    tag.string = text
    return tag


def _free(text: str, taken: set[str]) -> str:
    """Return a new anchor for the text and add it to `taken`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = unique = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"
    number = 1
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    taken.add(unique)
    return unique


def _name_headings(article: Tag, taken: set[str]) -> dict[str, str]:
    """Move headings one level down and give each an anchor; a missing title is made from the file name.

    Anchors consist of the file name and the heading's text, so links from elsewhere survive a new chapter.

    Returns:
        Anchors by the name that links in notebooks use for a heading, which is "" for the title.
    """
    stem = Path(article["data-notebook"]).stem
    first = article.find(HEADINGS)
    if first is None or first.name != "h1":
        article.insert(0, new_tag("h1", stem.replace("_", " ").capitalize()))
    anchors: dict[str, str] = {}
    for heading in article.find_all(HEADINGS):
        heading.name = f"h{min(int(heading.name[1]) + 1, 6)}"
        if not heading.get("id"):
            heading["id"] = _free(f"{anchors['']} {text_of(heading)}" if anchors else stem, taken)
        anchors.setdefault("", heading["id"])
        anchors.setdefault(text_of(heading).replace(" ", "-"), heading["id"])  # Jupyter's rule
    return anchors


def link(soup: BeautifulSoup) -> None:
    """Add anchors to headings, figures and tables, number the latter two, and resolve links in the page.

    A repeated id is dropped. A link without a target in the page becomes plain text.
    """
    taken = set(PAGE_IDS)
    for tag in soup.find_all(id=True):
        if tag["id"] in taken:
            del tag["id"]
        else:
            taken.add(tag["id"])
    articles = soup.select("article[data-notebook]")
    names = [Path(article["data-notebook"]).name for article in articles]
    anchors = [_name_headings(article, taken) for article in articles]
    numbers, items = {}, []
    for article, own in zip(articles, anchors, strict=True):
        new = _items(article, own[""], items, taken)
        outside = [item for item in new if not item.claim]
        for name in {item.name for item in outside}:
            same = [item for item in outside if item.name == name]
            own[name] = same[0].tag["id"]
            numbers[own[name]] = _together(same)
        items += new
    by_name = dict(zip(reversed(names), reversed(anchors), strict=True))  # the first of equal names
    for article, own in zip(articles, anchors, strict=True):
        article.attrs = {"aria-labelledby": own[""]}
        for a in article.find_all("a", href=True):
            url = urlsplit(a["href"])
            file, anchor = unquote(url.path).rsplit("/", 1)[-1], unquote(url.fragment)
            if url.scheme or url.netloc or (file and not file.endswith(".ipynb")):
                continue
            headings = by_name.get(file, {}) if file else own
            place = headings.get(anchor) or (anchor if headings and anchor in taken else "")
            if place:
                a["href"] = f"#{place}"
            else:
                a.unwrap()
            if place in numbers:
                a.string = numbers[place]
    for item in items:
        _print_number(item)
    _link_claims(soup, items)


def _items(article: Tag, chapter: str, before: list[Item], taken: set[str]) -> list[Item]:
    """Number the figures and tables of an article and give them anchors.

    Args:
        article: An article whose headings have anchors.
        chapter: Anchor of the article.
        before: Figures and tables of the articles before it.
        taken: Anchors of the page, to which new ones are added.
    """
    items: list[Item] = []
    for tag in article.select("figure, .table"):
        described = tag if tag.has_attr("data-about") else tag.find(attrs={"data-about": True})
        about = json.loads(described.attrs.pop("data-about")) if described else {}
        kind, short = ("Table", "table") if "table" in tag.get("class", []) else ("Figure", "fig")
        block = tag.find_parent("details", class_="claim")
        claim = block["id"] if block else ""
        place = claim.removeprefix("claim-") or chapter
        if not about:
            place = tag.find_previous(HEADINGS, id=True)["id"]
        tag["id"] = _free(f"{short} {place} {about.get('name', '')}", taken)
        number = 1 + sum(item.number.startswith(kind) for item in before + items)
        name = "-".join([short, *about.get("name", "").split("_")])
        items.append(Item(tag, f"{kind} {number}", name, about, claim))
    return items


def _together(items: list[Item]) -> str:
    """Return the text of a link to several figures: "Figures 3 to 5"; "Figure 3" if others are between."""
    kind, first = items[0].number.split()
    last = items[-1].number.split()[1]
    consecutive = int(last) - int(first) == len(items) - 1 > 0
    return f"{kind}s {first} {'to' if len(items) > 2 else 'and'} {last}" if consecutive else items[0].number


def _print_number(item: Item) -> None:
    """Print the number in front of the caption, as a link that shows the address in the browser."""
    caption, tag = item.caption, item.tag
    caption.insert(0, new_tag("a", item.number, class_="itself", href=f"#{tag['id']}"))
    if text_of(caption) != item.number:
        caption.insert(1, ". ")
    if "table" in tag.get("class", []):
        tag["aria-label"] = text_of(caption)


def _link_claims(soup: BeautifulSoup, items: list[Item]) -> None:
    """Link figures and tables with the claims for which they are evidence, in both directions."""
    shown: dict[str, list[str]] = {}  # claims by the anchor of a figure
    for block in soup.select("details.claim"):
        comparisons = json.loads(block.attrs.pop("data-compares", "[]"))
        evidence = [item for item in items if item.claim == block["id"] or _is_evidence(item, comparisons)]
        for item in evidence:
            shown.setdefault(item.tag["id"], []).append(block["id"])
        if evidence and (facts := block.find("dl")):
            facts.append(row := new_tag("div"))
            row.append(new_tag("dt", "Shown in"))
            links = [new_tag("a", item.number, href=f"#{item.tag['id']}") for item in evidence]
            row.append(_listed(new_tag("dd"), links))
    for item in items:
        if claims := sorted(shown.get(item.tag["id"], []), key=lambda name: (name[:7], int(name[7:]))):
            text = item.caption.get_text()
            item.caption.append("" if text[-1].isspace() else " " if text.endswith(".") else ". ")
            item.caption.append(ends := new_tag("span", f"Claim{'s' * (len(claims) > 1)}: ", class_="claims"))
            links = [new_tag("a", claim.removeprefix("claim-"), href=f"#{claim}") for claim in claims]
            _listed(ends, links).append(".")


def _is_evidence(item: Item, comparisons: list[tuple[str, list[str]]]) -> bool:
    """Return whether a figure shows one of these comparisons: metric and labels of networks."""
    metrics, networks = item.about.get("metrics", []), set(item.about.get("networks", []))
    return any(
        networks.issuperset(compared) and any(fnmatchcase(metric, pattern) for pattern in metrics)
        for metric, compared in comparisons
    )


def _listed(inside: Tag, links: Iterable[Tag]) -> Tag:
    """Append links with commas between."""
    for number, link in enumerate(links):
        if number:
            inside.append(", ")
        inside.append(link)
    return inside


# --- citations ---


class Work(NamedTuple):
    """A cited work.

    authors: as in "Long, J."; the first ones of a long list end with "et al."
    year:    0 for the study, which the text names by its title
    venue:   conference, journal with volume, or publisher
    link:    DOI or arXiv
    """

    authors: tuple[str, ...]
    year: int
    title: str
    venue: str
    link: str

    @property
    def surnames(self) -> list[str]:
        return [author.partition(",")[0] for author in self.authors]

    @property
    def anchor(self) -> str:
        """The anchor of its entry, such as "ref-long-2015"."""
        first = re.sub(r"\W+", "-", self.surnames[0].lower())
        return f"ref-{first}-{self.year}" if self.year else f"ref-{first}"

    @property
    def pattern(self) -> str:
        """The regular expression of a citation, such as "Long et al. 2015"."""
        if not self.year:
            return re.escape(self.title)
        *others, last = self.surnames
        every = f"{', '.join(others)} and {last}" if others else last
        names = [every, f"{self.surnames[0]} et al."] if len(self.surnames) > 2 else [every]
        return rf"(?:{'|'.join(map(re.escape, names))}),? (?:{self.year}|\({self.year}\))"

    @property
    def by(self) -> str:
        """The authors; of a longer list, the first."""
        most = 4
        return ", ".join(self.authors[:most]) + (" et al." if len(self.authors) > most else "")


@cache
def works() -> tuple[Work, ...]:
    """Return the works of works.toml in the order of their first authors, and the study itself first."""
    file = Path(__file__).parents[1] / "works.toml"
    entries = tomllib.loads(file.read_text(encoding="utf-8"))["works"]
    study = Work(("The study",), 0, STUDY["title"], STUDY["about"], STUDY["code"])
    return study, *(Work(**entry | {"authors": tuple(entry["authors"])}) for entry in entries)


def cite(soup: BeautifulSoup) -> list[Work]:
    """Link the citations in running text to the entries of their works; return the cited works."""
    citation = re.compile("|".join(f"({work.pattern})" for work in works()))
    cited = set()
    for text in soup.find_all(string=citation):
        if text.find_parent(AS_WRITTEN):
            continue
        pieces, end = [], 0
        for match in citation.finditer(text):
            work = works()[match.lastindex - 1]
            cited.add(work)
            tag = new_tag("a", match[0], href=f"#{work.anchor}", title=work.title)
            pieces += [text[end : match.start()], tag]
            end = match.end()
        text.replace_with(*pieces, text[end:])
    return [work for work in works() if work in cited]
