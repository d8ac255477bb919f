"""Citations as links, and the list of the works that a page cites; `works.toml` has their data."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup, NavigableString

from segnb.claims.ledger import STUDY

AS_WRITTEN = ("a", "code", "pre", "script", "style", "summary")  # text in which nothing becomes a link


@dataclass(frozen=True)
class Work:
    """A cited work.

    authors: as in "Long, J."; the first ones of a long list end with "et al."
    venue:   conference, journal with volume, or publisher
    link:    DOI or arXiv
    cited:   how the text names the work; by default surnames and year
    """

    authors: tuple[str, ...]
    year: int
    title: str
    venue: str
    link: str
    cited: str = ""

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
        if self.cited:
            return re.escape(self.cited)
        *others, last = self.surnames
        every = f"{', '.join(others)} and {last}" if others else last
        names = [every, f"{self.surnames[0]} et al."] if len(self.surnames) > 2 else [every]
        return rf"(?:{'|'.join(map(re.escape, names))}),? (?:{self.year}|\({self.year}\))"

    @property
    def by(self) -> str:
        """The authors; of a longer list, the first."""
        most = 4
        names = list(self.authors[:most])
        return ", ".join(names) + (" et al." if len(self.authors) > most else "")


@cache
def works() -> tuple[Work, ...]:
    """Return the works of works.toml in the order of their first authors, and the study itself first."""
    file = Path(__file__).parents[1] / "works.toml"
    entries = tomllib.loads(file.read_text(encoding="utf-8"))["works"]
    study = Work(("The study",), 0, STUDY["title"], STUDY["about"], STUDY["code"], STUDY["title"])
    return study, *(Work(**entry | {"authors": tuple(entry["authors"])}) for entry in entries)


def cite(soup: BeautifulSoup) -> list[Work]:
    """Link the citations in running text to the entries of their works; return the cited works."""
    names = {f"work{number}": work for number, work in enumerate(works())}
    citation = re.compile("|".join(f"(?P<{name}>{work.pattern})" for name, work in names.items()))
    cited = set()
    for text in soup.find_all(string=citation):
        if text.find_parent(AS_WRITTEN):
            continue
        pieces, end = [], 0
        for match in citation.finditer(text):
            work = names[match.lastgroup]
            cited.add(work)
            link = soup.new_tag("a", attrs={"href": f"#{work.anchor}", "title": work.title})
            link.string = match[0]
            pieces += [NavigableString(text[end : match.start()]), link]
            end = match.end()
        text.replace_with(*pieces, NavigableString(text[end:]))
    return [work for work in works() if work in cited]
