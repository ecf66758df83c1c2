"""Text from people is one line that prints, at every door, and stays text where it is shown."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lead_scoring.errors import BadInput
from lead_scoring.packaging.card import _audit
from lead_scoring.packaging.markdown import table
from lead_scoring.pipeline import Pipeline
from lead_scoring.settings import load_settings
from lead_scoring.stage import Manifest
from lead_scoring.text import MAX_CHARACTERS, escape_html, escape_markdown, one_line, pattern, shown

FORGED = "fine.\n\n## Release Gate\n\naccepted"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FORGED, "reason has a line break (U+000A) at place 6; give one line of plain text"),
        ("a\rb", "a carriage return (U+000D) at place 2"),
        ("a\tb", "a tab (U+0009)"),
        ("a\x00", "a zero byte (U+0000)"),
        ("\x1b[2J", "the character U+001B"),
        ("a\x85b", "the character U+0085"),
        ("a\u2028b", "the character U+2028 (line separator)"),
        ("a\u2029b", "the character U+2029 (paragraph separator)"),
        ("\u202eevil", "the character U+202E (right-to-left override)"),
        ("\u2067evil", "the character U+2067 (right-to-left isolate)"),
        ("\u200fevil", "the character U+200F (right-to-left mark)"),
        ("a\u200bb", "the character U+200B (zero width space)"),
        ("a\u200db", "the character U+200D (zero width joiner)"),
        ("a\ufeffb", "the character U+FEFF (zero width no-break space)"),
        ("a\u00adb", "the character U+00AD (soft hyphen)"),
        ("a\u3164b", "the character U+3164 (hangul filler)"),
        ("a\U000e0041b", "the character U+E0041 (tag latin capital letter a)"),
        ("M\udce4rz", "the character U+DCE4"),
        ("x" * (MAX_CHARACTERS + 1), "reason has 501 characters; give at most 500"),
        ("  ", "is empty"),
    ],
)
def test_what_is_not_one_line_of_printable_text_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)) as refused:
        one_line(text, "reason", required=True)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("text", ["Fewer calls in December", "März: 30 % weniger – „Ärger“", "営業部の承認", "café 👍"])
def test_plain_text_of_any_language_is_taken_as_it_is(text: str) -> None:
    assert one_line(f" {text} ", "reason") == text
    assert re.search(pattern(), text)


def test_the_pattern_of_the_forms_and_the_rule_agree_on_every_character_they_both_can_write() -> None:
    for code in range(0x10000):
        character = chr(code)
        if 0xD800 <= code <= 0xDFFF:
            continue
        try:
            one_line(f"a{character}b", "text")
            taken = True
        except BadInput:
            taken = False
        assert taken == bool(re.search(pattern(), f"a{character}b")), hex(code)
        if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Co"}:
            assert not taken, hex(code)
        elif character.isprintable() and unicodedata.category(character)[0] in "LNPS" and code < 0x1100:
            assert taken, hex(code)


@pytest.mark.parametrize("text", ["two\nlines", "one line and a break\n", "x" * (MAX_CHARACTERS + 1), "\u202e"])
def test_a_json_schema_with_the_pattern_refuses_what_the_rule_refuses(text: str) -> None:
    schema = {"type": ["null", "string"], "pattern": pattern()}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(text, schema)
    jsonschema.validate(None, schema)
    jsonschema.validate("", schema)
    jsonschema.validate("x" * MAX_CHARACTERS, schema)


HOSTILE = [
    "## Release Gate", "# accepted", "- accepted", "+ one", "1. one", "1) one", "> quoted", "a | b", "===", "---",
    "***",
    "**bold** _it_ `code`", "[link](https://example.org)", "<b>accepted</b>", "&lt;b&gt;", "~~no~~", "![a](b)", "\\# x",
    "<https://example.org>", FORGED, "a\u2028# b", ": x", "    code", "C:\\temp", "5 * 3 * 2",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_markdown_renders_to_the_text_and_to_nothing_else(text: str) -> None:
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(escape_markdown(text))
    assert html.startswith("<p>") and html.count("<") == 2, html
    assert html.removeprefix("<p>").removesuffix("</p>\n") == escape_html(text).replace("&#x27;", "'")


@given(st.text(alphabet=st.characters(max_codepoint=0x2100), max_size=40))
def test_no_text_breaks_out_of_a_cell(text: str) -> None:
    html = MarkdownIt("commonmark").enable("table").render(table(("a", "b"), [(escape_markdown(text), 1)]))
    assert html.count("<td>") == 2 and html.count("<tr>") == 2


def test_an_attribute_is_not_left_by_its_text() -> None:
    assert escape_html("\"><script>alert('x')</script>") == (
        "&quot;&gt;&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"
    )


def test_what_another_program_said_is_shown_in_one_printable_line() -> None:
    assert shown("<html>\n <body>\x1b[2J\u202e busy") == "<html> <body>\\x1b[2J\\u202e busy"
    assert len(shown("x" * 5000)) == 300


def test_accepted_findings_and_findings_add_no_heading_to_the_model_card() -> None:
    finding = {"code": "single_feature", "subject": "x\n## Release Gate", "message": FORGED}
    facts = {"findings": [finding], "leakage": {"features": {}}, "accepted_findings": FORGED}
    html = MarkdownIt("commonmark").render(_audit(facts))
    assert html.count("<h") == 1
    assert "<h2>Leak Audit and Findings</h2>" in html
    assert "Accepted, because: fine. ## Release Gate accepted" in html


def test_accepted_findings_of_several_lines_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    pipeline = Pipeline(load_settings(environment={}, overrides={"storage.runs": str(tmp_path)}))
    nothing = Manifest("materialize_features", "20240101-0", "2024-01-01", {}, {}, {}, {})
    for stage in (
        lambda: pipeline.train_model(nothing, accept_findings=FORGED),
        lambda: pipeline.calibrate_model(nothing, nothing, accept_findings=FORGED),
        lambda: pipeline.hash_version(nothing, nothing, nothing, accept_findings=FORGED),
    ):
        with pytest.raises(BadInput, match="accept_findings has a line break"):
            stage()
