"""Airflow's UI as a person uses it: pages, the trigger form, Required Actions, pictures of each."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from playwright.sync_api import Locator, Page, expect

PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"


def browser_path() -> str:
    """Debian's chromium; Playwright's own download is not used. :raises RuntimeError: it is missing."""
    found = shutil.which("chromium")
    if not found:
        raise RuntimeError("chromium is not installed; run `make browser`")
    return found


class AirflowUI:
    """:param page: a Playwright page. :param address: ``http://127.0.0.1:port`` of the API server."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address

    def go(self, path: str) -> None:
        self.page.goto(f"{self.address}{path}")

    def open_run(self, dag_id: str, run_id: str, task_id: str = "") -> None:
        """The page of a run, or of one of its tasks."""
        self.go(f"/dags/{dag_id}/runs/{quote(run_id)}{f'/tasks/{task_id}' if task_id else ''}")

    def picture(self, name: str) -> None:
        """Keep what is on the screen as ``build/screenshots/NAME.png``."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(400)  # what slides in has arrived
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def form(self, dag_id: str) -> Locator:
        """Press Trigger on the DAG's page; returns the dialog with the form."""
        self.go(f"/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").first.click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog.get_by_text("Run Parameters")).to_be_visible()
        return dialog

    def fill(self, dialog: Locator, values: dict[str, Any]) -> None:
        """Type text, set dates, throw switches, choose from lists: as the field is."""
        for name, value in values.items():
            field = dialog.locator(f"[name=element_{name}]")
            if isinstance(value, bool):
                if field.is_checked() != value:
                    field.locator("xpath=ancestor::label[1]").click()
            elif field.get_attribute("type") == "hidden":
                dialog.locator(f"div:has(> [name=element_{name}])").last.click()
                self.page.get_by_role("option", name=value, exact=True).click()
            else:
                field.fill(value)
                field.blur()

    def trigger(self, dag_id: str, values: dict[str, Any] | None = None, picture: str = "") -> str:
        """Fill in the form, press its button. Returns the id of the run that the UI then shows."""
        dialog = self.form(dag_id)
        self.fill(dialog, values or {})
        button = submit(dialog)
        expect(button).to_be_enabled()
        if picture:
            self.picture(picture)
        button.click()
        self.page.wait_for_url(re.compile(f"/dags/{dag_id}/runs/"))
        return unquote(self.page.url.split("/runs/")[1].split("/")[0].split("?")[0])

    def refused(self, dag_id: str, values: dict[str, Any], picture: str) -> str:
        """Fill in the form with a value that it must not take. Returns what it says; no run was made."""
        dialog = self.form(dag_id)
        self.fill(dialog, values)
        submit(dialog).click()
        said = dialog.get_by_text("Invalid input for param")
        expect(said).to_be_visible()
        self.picture(picture)
        return said.inner_text()

    def backfill(self, dag_id: str, first: str, last: str, picture: str) -> None:
        """Ask for the runs between two times, such as ``2024/12/19 00:00``."""
        dialog = self.form(dag_id)
        dialog.get_by_text("Backfill", exact=True).click()
        for place, time in enumerate((first, last)):
            dialog.get_by_test_id("datetime-input").nth(place).click()
            day, hour = time.split()
            for placeholder, text in (("YYYY/MM/DD", day), ("HH:mm", hour)):
                field = self.page.get_by_placeholder(placeholder).locator("visible=true")
                field.fill(text)
                field.press("Enter")
            dialog.get_by_text("Date Range").click()  # closes the picker
        self.picture(picture)
        button = dialog.get_by_role("button", name="Run Backfill")
        expect(button).to_be_enabled()
        button.click()
        expect(dialog).to_be_hidden()

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, picture: str) -> str:
        """Press Approve or Reject under Required Action. Returns what the page showed."""
        self.go(f"/dags/{dag_id}/runs/{quote(run_id)}/tasks/{task_id}/required_actions")
        button = self.page.get_by_role("button", name=option, exact=True)
        expect(button).to_be_enabled()
        self.picture(picture)
        shown = self.page.locator("body").inner_text()
        button.click()
        expect(button).to_be_disabled()
        return shown


def submit(dialog: Locator) -> Locator:
    return dialog.get_by_role("button", name="Trigger", exact=True)
