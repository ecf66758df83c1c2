"""docs/requirements.md says where each requirement is met: what it names must exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lead_scoring.model.buckets import ACTIONS, BUCKETS

HOME = Path(__file__).parents[2]
PAGE = (HOME / "docs" / "requirements.md").read_text()
PLACES = sorted(set(re.findall(r"`((?:plugins|include)/[^`<]+)`", PAGE)))


def test_the_page_names_places() -> None:
    assert len(PLACES) > 10


@pytest.mark.parametrize("place", PLACES)
def test_every_place_that_the_page_names_exists(place: str) -> None:
    assert (HOME / place).exists()


@pytest.mark.parametrize(("bucket", "action"), list(zip(BUCKETS, ACTIONS, strict=True)))
def test_the_page_has_every_bucket_with_its_action(bucket: str, action: str) -> None:
    assert re.search(rf"^\| {bucket} \| [^|]+ \| {re.escape(action)} \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("page", sorted(path.name for path in (HOME / "docs").glob("*.md")))
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    folder = HOME / "docs"
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (folder / page).read_text()):
        assert (folder / target).exists(), f"{page} links to {target}"
