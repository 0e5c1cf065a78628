"""The manual: its pages as Markdown, a file each, and where they are read from."""

from pathlib import Path

HERE = Path(__file__).parent
"""The folder with the pages."""


def page(name: str) -> str:
    """A page's text, without its last line feed. name: one of `grammar.pages.PAGES`."""
    return (HERE / f"{name}.md").read_text("utf-8").rstrip("\n")
