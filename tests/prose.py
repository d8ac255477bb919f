"""Find words that have to be read twice, in all that a reader sees: `python -m tests.prose [PATH …]`.

Reads README, docs, notebooks, templates, and the strings, docstrings and comments of segnb. `docs/style.md`
has the rules; this is the part of them that a pattern can check. `make lint` runs it.
"""

import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PLACES = (
    "README.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "Makefile",
    "docs",
    "notebooks",
    "segnb",
    "benchmarks",
)
SUFFIXES = (".md", ".cff", ".ipynb", ".py", ".html", ".j2", ".js", "")
# Style shows what to avoid, and the study's own words are the study's.
LEFT_OUT = ("docs/style.md", "docs/report/index.html", "segnb/claims/ledger/study.toml")

_COUNTED = (
    "seconds?|minutes?|hours?|milliseconds?|ms|s|bytes|MiB|GiB|pixels?|px|images?|seeds?|epochs?|threads?|masks?|runs?"
    "|rows?|lines?|networks?|steps?|cores?|objects?|scenes?|batches|points?|gates?|files?|frames?|classes"
)
_UNIT = "seed|network|image|class|run|epoch|step|batch|pixel|side|row|column|study|drive|claim|level|core|GPU"
_US = "behavior|color(?!map|bar|s?=|:|-)|gray|center|optimizer|normalize|initialize|recognize|summarize"
# Pattern: the word to use instead. A word in `backticks` is a name and is not looked at.
PATTERNS = {
    rf"\b({_COUNTED}) an? ({_UNIT})\b(?! (of|that|from|with|in)\b)": "per",
    r"\banew\b": "again",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\b(is|are|was|were|be|being|been) told\b": "says, reports",
    r"\btold (of|apart|by|from)\b": "reported, distinguished",
    r"\bbeside\b": "next to, in addition to, besides",
    r"\bgo(es)? on (behind|from|where)\b": "resume",
    r"\bheld against\b": "compared with",
    r"\bcomes? out otherwise\b": "differ",
    r"\bwhat(ever)? (there is|there are|it holds|they hold|is shown|it shows|is over|is left)\b": "a noun",
    r"\bwhose turn\b|\bin turns\b": "in alternation",
    r"\bthese very\b": "the",
    r"\b(is|are) none\b": "a full predicate",
    r"\bis meant\b|\bare meant\b": "expected",
    r"\btrunks?\b": "backbone",
    r"\bhand-?overs?\b": "skip connection",
    r"\bkept stud(y|ies)\b": "reference study",
    r"\bmirror(ed)? images?\b": "horizontal flip",
    r"\bdataset mIoU\b|\bclass means?\b": "mIoU",
    r"\bpublished study\b": "the study",
    r"\blearnt\b": "learned",
    rf"\b({_US})(s|d|ed|r)?\b": "UK spelling",
    r"\d %": "95% without a space",
    r"\bwhosoever\b|\bwhoever\b": "a noun",
    r"\bthose that\b": "a noun",
    r"\bso many\b": "a number",
    r"\bextensions?\b(?= (network|U-Net|of the study))": "additional network",
}
_PATTERNS = [(re.compile(pattern), better) for pattern, better in PATTERNS.items()]
# {file: words that are right there}, each for a reason.
ALLOWED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(  # matplotlib's name of a place
        [f"segnb/report/figures/{name}.py" for name in ("audit", "axes", "images")], ("center",)
    ),
    # Strings of the training code, whose change would orphan every trained run.
    "segnb/runtime/machine.py": ("mended",),
    "segnb/training/feature_cache.py": ("trunk",),
}


def _markdown(text: str) -> Iterator[tuple[int, str]]:
    """Lines of prose, without code."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", "", line)


def _python(text: str) -> Iterator[tuple[int, str]]:
    """Strings, docstrings and comments, line by line."""
    kinds = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            for offset, line in enumerate(token.string.splitlines()):
                if " " in line.strip():  # one word is a name
                    yield token.start[0] + offset, re.sub(r"`[^`]*`", "", line)


def _notebook(text: str) -> Iterator[tuple[int, str]]:
    for number, cell in enumerate(json.loads(text)["cells"], 1):
        source = "".join(cell["source"])
        lines = _markdown(source) if cell["cell_type"] == "markdown" else _python(source)
        yield from ((number, line) for _, line in lines)


def findings(file: Path) -> Iterator[str]:
    """Yield one line per phrase of a file to be replaced: where, the phrase, and what to write."""
    name = file.relative_to(CHECKOUT).as_posix()
    text = file.read_text(encoding="utf-8")
    read = {".py": _python, ".ipynb": _notebook}.get(file.suffix, _markdown)
    for number, line in read(text):
        for pattern, better in _PATTERNS:
            for match in pattern.finditer(line):
                if match[0] not in ALLOWED.get(name, ()):
                    yield f"{name}:{number}: {match[0]!r} (docs/style.md: {better})"


def _files(paths: list[str]) -> list[Path]:
    """Files under version control below the paths that hold prose."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *paths], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.split("\n")
    return [
        CHECKOUT / name for name in listed if name and name not in LEFT_OUT and Path(name).suffix in SUFFIXES
    ]


def main() -> int:
    lines = [line for file in _files(sys.argv[1:] or list(PLACES)) for line in findings(file)]
    print("\n".join(lines) or "prose: no phrase that docs/style.md replaces")
    return bool(lines)


if __name__ == "__main__":
    raise SystemExit(main())
