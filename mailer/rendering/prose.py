"""Markdown blocks as plain text in lines of at most 72 columns. Links become notes: [1]."""

import textwrap
from collections.abc import Iterator
from itertools import zip_longest

from markdown_it.tree import SyntaxTreeNode

from mailer.issues.markdown import Block, html_text, plain

WIDTH = 72  #: columns


class Notes:
    """The links of the text so far, numbered through the mail; each is told once, after its commentary."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._told = 0

    def number(self, address: str) -> int:
        return self._numbers.setdefault(address, len(self._numbers) + 1)

    def collected(self) -> str:
        """The new ones, an address a line, never broken."""
        new = [f"[{number}] {address}" for address, number in self._numbers.items() if number > self._told]
        self._told = len(self._numbers)
        return "\n".join(new)


def paragraphs(block: Block, notes: Notes, width: int = WIDTH) -> list[str]:
    """One block of Markdown as paragraphs of text."""
    return _Prose(notes).blocks(SyntaxTreeNode(block), width)


class _Prose:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def blocks(self, node: SyntaxTreeNode, width: int) -> list[str]:
        return [paragraph for child in node.children for paragraph in self._block(child, width) if paragraph.strip()]

    def _block(self, node: SyntaxTreeNode, width: int) -> list[str]:
        match node.type:
            case "paragraph":
                return [_filled(self._inline(node.children[0]), width)]
            case "heading":
                text = _filled(self._inline(node.children[0]), width)
                return [f"{text}\n{'-' * max(map(len, text.splitlines() or ['']))}"]
            case "blockquote":
                quoted = "\n\n".join(self.blocks(node, width - 2))
                return [textwrap.indent(quoted, "> ", lambda line: True)]
            case "bullet_list" | "ordered_list":
                return [self._list(node, width)]
            case "table":
                return [self._table(node, width)]
            case "fence" | "code_block":
                return [textwrap.indent(node.content.rstrip(), "    ")]
            case "html_block":
                return [_filled(" ".join(html_text(node.content).split()), width)]
            case "hr":
                return ["* * *"]
            case _:  # a list's item or a table's part: only ever inside one
                return self.blocks(node, width)

    def _list(self, node: SyntaxTreeNode, width: int) -> str:
        first = int(node.attrs.get("start", 1))
        items, is_tight = [], True
        for number, item in enumerate(node.children, first):
            mark = f"{number}. " if node.type == "ordered_list" else "- "
            inside = self.blocks(item, width - len(mark))
            is_tight = is_tight and len(inside) < 2
            text = textwrap.indent("\n\n".join(inside) or " ", " " * len(mark))
            items.append(mark + text[len(mark) :])
        return ("\n" if is_tight else "\n\n").join(items)

    def _table(self, node: SyntaxTreeNode, width: int) -> str:
        """In columns where they fit, else a line for each cell, under its heading."""
        rows = [[self._inline(cell.children[0]).replace("\n", " ") for cell in row.children] for row in _rows(node)]
        widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
        if sum(widths) + 3 * (len(widths) - 1) <= width:
            lines = [" | ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
            return "\n".join([lines[0], "-+-".join("-" * size for size in widths), *lines[1:]])
        head, *body = rows
        return "\n\n".join(
            "\n".join(_filled(f"{name}: {cell}", width) for name, cell in zip(head, row, strict=False)) for row in body
        )

    def _inline(self, node: SyntaxTreeNode) -> str:
        return "".join(self._run(child) for child in node.children)

    def _run(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "softbreak":
                return " "
            case "hardbreak":
                return "\n"
            case "image":
                return f"[{plain(node.token.children if node.token else ())}]"
            case "link":
                return self._link(node)
            case "html_inline":
                return "\n" if node.content.lower().startswith("<br") else ""
            case _:
                mark = _MARKS.get(node.type, "")
                return mark + (self._inline(node) if node.children else node.content) + mark

    def _link(self, node: SyntaxTreeNode) -> str:
        address, text = str(node.attrs["href"]), self._inline(node)
        if address in (text, f"mailto:{text}"):
            return text
        return f"{text} [{self._notes.number(address)}]"


_MARKS = {"strong": "*", "em": "_"}


def _rows(table: SyntaxTreeNode) -> Iterator[SyntaxTreeNode]:
    for part in table.children:
        yield from part.children


def _filled(text: str, width: int) -> str:
    return "\n".join(
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in text.split("\n")
    )
