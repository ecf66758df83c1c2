"""Text from people: one line that prints, and how it is escaped where it is shown.

A reason, a name or an accepted finding is read later by somebody who decides on it: in an approval, a model card, the
registry's history, a log. A line break or a character that turns or hides text would let it pass for something that
the product says itself. So there is one rule, checked where the text is given, and one escaping for each place that
shows it.
"""

from __future__ import annotations

import html
import re
import unicodedata

from lead_scoring.errors import BadInput

MAX_CHARACTERS = 500

# What no line may hold: controls and line ends (NEL, LS, PS too), direction marks, what is invisible or has no width
# (Unicode's Default_Ignorable_Code_Point), and private use, which each font draws as it likes.
_REFUSED = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)


def pattern(maximum: int = MAX_CHARACTERS, minimum: int = 0) -> str:
    """The rule as a regular expression that Python and browsers read alike: for JSON schemas (``"pattern"``) and forms.

    It ends in a look-ahead and not in ``$``, which in Python lets one line break pass. Of the characters past U+FFFF,
    which the two languages write differently, :func:`one_line` refuses the invisible ones; so it is asked as well.
    """
    return rf"^[^{_REFUSED}]{{{minimum},{maximum}}}(?![\s\S])"


_BAD = re.compile(rf"[{_REFUSED}\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#&])")
_MARKDOWN_START = re.compile(r"^(?:(?=[-+=:])|(\d+)(?=[.)]))")


def one_line(text: str, name: str, *, maximum: int = MAX_CHARACTERS, required: bool = False) -> str:
    """The text without blanks at its ends.

    >>> one_line(" Fewer conversions in December ", "reason")
    'Fewer conversions in December'

    :param name: what the text is, for the error: ``reason``, ``--accept-findings``.
    :param maximum: the longest that is taken, in characters.
    :param required: refuse text that is empty or blank.
    :raises BadInput: it is not one line of printable text; the error names the character, its place and the remedy.
    """
    if not isinstance(text, str):
        raise BadInput(f"{name} is of type {type(text).__name__}; it must be one line of text")
    if found := _BAD.search(text):
        raise BadInput(
            f"{name} has {_character(found[0])} at place {found.start() + 1}; "
            "give one line of plain text, without line breaks and invisible characters"
        )
    if len(text) > maximum:
        raise BadInput(f"{name} has {len(text):,} characters; give at most {maximum:,}")
    if required and not text.strip():
        raise BadInput(f"{name} {text!r} is empty; say who, or why: it is kept and shown")
    return text.strip()


def shown(text: object, *, maximum: int = 300) -> str:
    """Text of another program or person as one printable line, for an error or a log: what does not print is spelt."""
    line = " ".join(str(text).split())
    line = _BAD.sub(lambda found: found[0].encode("unicode_escape").decode(), line)
    return line if len(line) <= maximum else line[: maximum - 3] + "..."


def escape_markdown(text: object) -> str:
    """The text as Markdown that renders to it, in one line: no heading, list, table cell, link, emphasis or HTML."""
    return _MARKDOWN_START.sub(r"\1\\", _MARKDOWN.sub(r"\\\1", shown(text, maximum=10_000)))


def escape_html(text: object) -> str:
    """The text as HTML that shows it, in one line, also inside a quoted attribute."""
    return html.escape(shown(text, maximum=10_000))


def _character(character: str) -> str:
    known = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", "\0": "a zero byte"}
    code = f"U+{ord(character):04X}"
    if character in known:
        return f"{known[character]} ({code})"
    return f"the character {code} ({unicodedata.name(character, 'a control or private character').lower()})"
