"""Shapes in docstrings, such as [..., N], set as code."""

import re
from typing import Any

from griffe import Extension, Object

# Brackets that are not a link or code, without words of more than one lower-case letter.
SHAPE = re.compile(r"(?<![\w`\]\)\[])\[(?![^\]]*`)([^\[\]\n]*)\](?![\(\[])")
CODE = re.compile(r"(`[^`]*`)")


def as_code(text: str) -> str:
    """A docstring with its shapes between backticks; examples stay as they are."""
    lines = []
    for line in text.split("\n"):
        example = line.lstrip().startswith((">>>", "...")) or line.startswith("        ")
        parts = [line] if example else CODE.split(line)
        lines.append(
            "".join(x if x[:1] == "`" or example else SHAPE.sub(r"`[\1]`", x) for x in parts)
        )
    return "\n".join(lines)


class Shapes(Extension):
    """Sets the shapes in every docstring as code."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring of an object, before it is parsed."""
        if obj.docstring:
            obj.docstring.value = as_code(obj.docstring.value)
