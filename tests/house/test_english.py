"""The rules of CONTRIBUTING.md for English and names, as far as a program can check them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.paths import ROOT

CODE = sorted(
    path
    for folder in ("fsb_perception", "fsb_training", "scripts", "examples", "launch")
    for path in (ROOT / folder).rglob("*.py")
)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("msg/*.msg")])

# Names that do not say what a variable holds.
VAGUE = {"each", "ear", "found", "of", "said", "told", "way", "who"}
# Words that a reader has to turn over, wherever they stand.
WORDS = re.compile(r"\b(anew|lest|nobody|thereof|told|whence|whoever)\b", re.IGNORECASE)
OPENINGS = re.compile(r"(?:^|[.!?] )(Of what|Of which|What of|Who|Whose)\b")
# A docstring of a function begins with a verb. This list holds what such verbs are not.
NO_VERBS = {
    *("a", "all", "an", "any", "at", "by", "each", "every", "for", "from", "how", "if", "in"),
    *("it", "its", "none", "of", "on", "one", "our", "same", "so", "that", "the", "these", "this"),
    *("those", "to", "what", "when", "where", "whether", "which", "who", "whose", "why", "with"),
}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def comments_of(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#: ")


def docstrings_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and docstrings of a module, or the lines of a page, with their line numbers."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from comments_of(source)
        yield from docstrings_of(ast.parse(source))
    else:
        yield from enumerate(source.splitlines(), start=1)


def test_no_sentence_has_to_be_read_twice():
    wrong = [
        f"{relative(path)}:{line}: {match[0]!r}"
        for path in (*CODE, *PAGES)
        for line, text in texts_of(path)
        for pattern in (WORDS, OPENINGS)
        for match in pattern.finditer(text)
    ]
    assert not wrong


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def opening_of(text: str) -> str:
    return re.split(r"\W+", text.lstrip("`("), maxsplit=1)[0].lower()


def test_docstrings_of_functions_begin_with_a_verb():
    wrong = [
        f"{relative(path)}:{node.lineno}: {text.splitlines()[0]}"
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node)
        if (text := ast.get_docstring(node)) and opening_of(text) in NO_VERBS
    ]
    assert not wrong


def test_names_say_what_a_thing_is():
    wrong = [
        f"{relative(path)}:{line}: {name}"
        for path in CODE
        for line, name in stored_names(ast.parse(path.read_text(encoding="utf-8")))
        if name in VAGUE
    ]
    assert not wrong


def stored_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names of parameters and variables; fields of classes may be keys of a file format."""
    nodes = list(ast.walk(tree))
    fields = {
        id(statement.target)
        for node in nodes
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in nodes:
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield from [] if id(node) in fields else [(node.lineno, node.id)]


LONGEST_PARAGRAPH = 520  # characters
PROSE = [path for path in PAGES if path.suffix == ".md" and path.name != "results.md"]


def paragraphs_of(path: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for block in re.split(r"\n\s*\n|\n(?=[-*|] ?|\d+\. )", text):
        if not block.startswith(("|", "#", "    ")):  # tables, headings, code
            yield " ".join(block.split())


def test_paragraphs_of_the_docs_are_short():
    long = [
        f"{relative(path)}: {len(block)} characters: {block[:60]}..."
        for path in PROSE
        for block in paragraphs_of(path)
        if len(block) > LONGEST_PARAGRAPH
    ]
    assert not long
