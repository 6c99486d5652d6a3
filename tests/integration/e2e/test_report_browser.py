"""A report in a real browser, by clicking and by the keyboard: nothing fails, and nothing is requested from anywhere."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, FeatureSchema
from tests.chromium import chromium, needs_chromium

pytestmark = [needs_chromium, pytest.mark.xdist_group("test_report_browser")]

KEY, OTHER = "gru/BTC;2FUSDT", "gbm/EURUSD"
BOLD = "<b>bold</b>"
FIRST = datetime(2024, 1, 1, 12, tzinfo=UTC)
COUNT = 60
IDS = [f"{FIRST + timedelta(days=number):%Y%m%d_%H%M%S}" for number in range(COUNT)]
PAGE = "models/gru/BTC;2FUSDT.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of sixty runs of one model, whose texts are markup, and one of another."""
    folder = tmp_path_factory.mktemp("report")
    now = [FIRST]
    with ArtifactStore(folder / "store", clock=lambda: now[0], provenance=False) as store:
        for number, run_id in enumerate(IDS):
            now[0] = FIRST + timedelta(days=number)
            store.save(
                {"n": number},
                KEY,
                run_id=run_id,
                features=FeatureSchema([f"f{place}" for place in range(3 + number % 2)]),
                config={"lr": 0.01 * (number % 3), BOLD: BOLD},
                metrics={"sharpe": number % 7, "loss": -number / 10, "nan": float("nan")},
                tags={"fold": str(number % 5), "note": BOLD},
                description=BOLD if number % 2 else "",
                parent=store.get(KEY) if number else None,
            )
        store.promote(f"{KEY}:{IDS[3]}", "production", reason=BOLD)
        store.save({"n": 1}, OTHER, run_id=IDS[0], metrics={"sharpe": 3})
        store.report(folder / "pages", details=30)
    return folder / "pages"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Tab:
    """A page of the browser that remembers what it asked for, and what went wrong."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, address: str) -> Any:
        self.page.goto(address)
        return self.page

    def column(self, table: str, place: int) -> list[str]:
        found: list[str] = self.page.locator(f"#{table} tbody tr:visible > :nth-child({place})").all_inner_texts()
        return found


@pytest.fixture
def tab(browser: Any, report: Path) -> Iterator[Tab]:
    """A tab, of which is shown afterwards that it failed nowhere and asked for files of the report only."""
    tab = Tab(browser)
    yield tab
    assert tab.wrong == []
    assert {address for address in tab.asked if not address.startswith((report.as_uri(), "data:"))} == set()
    assert tab.page.locator("b", has_text="bold").count() == 0
    tab.context.close()


def test_models_are_searched_and_sorted_and_opened(tab: Tab, report: Path) -> None:
    page = tab.open((report / "index.html").as_uri())
    assert tab.column("models", 1) == ["gbm/EURUSD", "gru/BTC/USDT"]
    page.get_by_role("button", name="Runs").click()
    assert tab.column("models", 1) == ["gru/BTC/USDT", "gbm/EURUSD"]
    assert page.locator("#models th[aria-sort=descending]").inner_text().startswith("Runs")
    page.get_by_label("Search models").fill("production")
    page.get_by_text("1 of 2 models").wait_for()
    assert tab.column("models", 1) == ["gru/BTC/USDT"]
    page.get_by_role("link", name="gru/BTC/USDT").click()
    assert page.get_by_role("heading", level=1).inner_text() == "gru/BTC/USDT"
    assert page.get_by_role("cell", name=BOLD).first.is_visible()


def test_runs_are_sorted_paged_and_filtered(tab: Tab, report: Path) -> None:
    page = tab.open((report / PAGE).as_uri())
    assert tab.column("run-table", 1) == IDS[:9:-1]
    page.locator("#runs").get_by_role("button", name="Next").click()
    assert tab.column("run-table", 1) == IDS[9::-1]
    sharpe = page.locator("#run-table").get_by_role("button", name="sharpe")
    sharpe.click()
    assert [float(text) for text in tab.column("run-table", 6)][:9] == [6] * 8 + [5]
    sharpe.click()
    assert {float(text) for text in tab.column("run-table", 6)[:8]} == {0}
    assert page.locator("#run-table th[aria-sort=ascending]").inner_text().startswith("sharpe")
    field = page.get_by_label("Search and filter runs")
    for text, wanted in {
        "sharpe>=6 fold=3": [each for each in range(COUNT) if each % 7 == 6 and each % 5 == 3],
        "production": [3],
        IDS[7]: [7],
        "loss<-5.8": [59],
        "sharpe=1 fold!=0": [each for each in range(COUNT) if each % 7 == 1 and each % 5],
        "nan>0": [],
        "nothing=1": [],
    }.items():
        field.fill(text)
        page.wait_for_timeout(100)
        page.locator("#runs").get_by_text(f"{len(wanted)} of 60 runs").wait_for()
        shown = [run for run in tab.column("run-table", 1) if run.startswith("2024")]
        assert sorted(shown) == [IDS[number] for number in wanted], text
    assert page.get_by_text("Nothing fits.").is_visible()


def test_a_run_has_its_page_and_is_compared_with_its_neighbour_and_any_other(tab: Tab, report: Path) -> None:
    page = tab.open((report / PAGE).as_uri())
    page.locator("#run-table").get_by_role("link", name=IDS[-2]).click()
    heading = page.get_by_role("heading", level=1)
    assert heading.inner_text() == IDS[-2]
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert IDS[-2] in page.title()
    for section in ("Metrics", "Tags", "Features", "Configuration", "Components", "Files", "Lineage", "Environment"):
        assert page.get_by_role("heading", name=section, exact=True).is_visible(), section
    assert len(re.findall(r"\b[0-9a-f]{64}\b", page.locator("#file-table").inner_text())) == 2
    page.get_by_role("link", name="Compare with the run before").click()
    assert heading.inner_text() == "Comparison"
    assert tab.column("diff-metrics", 4) == ["−0.1", "+1"]
    assert "f3" in page.locator("#diff-features").inner_text()
    page.go_back()
    page.get_by_label("Compare with").select_option(IDS[3])
    page.get_by_role("button", name="Compare", exact=True).click()
    assert page.locator("#diff-config").is_visible()
    assert page.locator("dd", has_text=IDS[3]).is_visible()
    page.get_by_role("link", name="gru/BTC/USDT").click()
    assert page.locator("#run-table").is_visible()


def test_a_run_of_which_the_report_has_not_everything_says_where_it_is(tab: Tab, report: Path) -> None:
    page = tab.open(f"{(report / PAGE).as_uri()}#run={IDS[10]}")
    assert page.get_by_text(f"artifact-store show {KEY}:{IDS[10]}").is_visible()
    page = tab.open(f"{(report / PAGE).as_uri()}#run=20200101_000000")
    assert page.get_by_text("This run is not in the report").is_visible()
    page = tab.open(f"{(report / PAGE).as_uri()}#diff={IDS[0]}..20200101_000000")
    assert page.get_by_text("One of these runs is not in the report").is_visible()


def test_the_plot_follows_the_metric_and_its_points_lead_to_runs(tab: Tab, report: Path) -> None:
    page = tab.open((report / PAGE).as_uri())
    page.locator("#metric").select_option("sharpe")
    assert "sharpe over time: 60 runs, lowest 0, highest 6" in page.locator("#chart svg").get_attribute("aria-label")
    page.locator("#metric").select_option("nan")
    assert page.get_by_text("No run has a finite nan.").is_visible()
    page.locator("#metric").select_option("loss")
    page.locator("#chart a.named").first.click(force=True)
    assert page.get_by_role("heading", level=1).inner_text() == IDS[3]


def test_everything_is_done_by_the_keyboard_alone(tab: Tab, report: Path) -> None:
    page = tab.open((report / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "models-search"
    page.keyboard.type("gru")
    page.get_by_text("1 of 2 models").wait_for()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "gru/BTC/USDT":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.locator("#run-table").wait_for()
    sort = page.locator("#run-table").get_by_role("button", name="loss")
    sort.focus()
    page.keyboard.press("Enter")
    assert tab.column("run-table", 1)[0] == IDS[0]
    page.keyboard.press("Space")
    assert tab.column("run-table", 1)[0] == IDS[-1]
    page.locator("#run-table a").first.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("heading", level=1).inner_text() == IDS[-1]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "← Older"


def test_tables_are_tables_for_a_screen_reader(tab: Tab, report: Path) -> None:
    for address in ("index.html", PAGE, f"{PAGE}#run={IDS[-1]}", f"{PAGE}#diff={IDS[-2]}..{IDS[-1]}"):
        name, _, place = address.partition("#")
        tab.page.goto("about:blank")
        page = tab.open((report / name).as_uri() + (f"#{place}" if place else ""))
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.locator("h1:visible").count() == 1
        assert page.locator("main").count() == 1
        lacking = page.evaluate(
            """() => [...document.querySelectorAll('table')].filter((table) => table.checkVisibility() && !(
                table.caption && table.querySelectorAll('thead th:not([scope=col])').length === 0
                && table.querySelector('tbody th[scope=row]'))).map((table) => table.id)"""
        )
        assert lacking == []
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll('input, select, button, a')].filter((element) =>
                !element.textContent.trim() && !element.labels?.length && !element.getAttribute('aria-label')
            ).map((element) => element.outerHTML)"""
        )
        assert unnamed == []
        levels = [
            int(tag[1])
            for tag in page.evaluate(
                "[...document.querySelectorAll('h1,h2,h3')].filter((h) => h.checkVisibility()).map((h) => h.tagName)"
            )
        ]
        assert all(after - before <= 1 for before, after in pairwise(levels)), levels
        assert page.evaluate(
            "new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size === document.querySelectorAll('[id]').length"
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_scrolls_its_tables_and_not_itself(browser: Any, report: Path, scheme: str) -> None:
    tab = Tab(browser, color_scheme=scheme, viewport={"width": 400, "height": 800})
    for address in ("index.html", PAGE, f"{PAGE}#run={IDS[-1]}", f"{PAGE}#diff={IDS[-2]}..{IDS[-1]}"):
        name, _, place = address.partition("#")
        tab.page.goto("about:blank")
        page = tab.open((report / name).as_uri() + (f"#{place}" if place else ""))
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, address
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(246, 248, 250)" if scheme == "light" else "rgb(15, 20, 25)"
    )
    assert tab.wrong == []
    tab.context.close()


def test_a_report_that_is_served_works_as_well(browser: Any, report: Path) -> None:
    tab = Tab(browser)
    tab.context.set_offline(False)
    with ArtifactStore(report.parent / "store") as store, store.serve_report() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        page = tab.open(server.url)
        page.get_by_role("link", name="gru/BTC/USDT").click()
        page.locator("#run-table").get_by_role("link", name=IDS[-1]).click()
        assert page.get_by_role("heading", level=1).inner_text() == IDS[-1]
        assert {address for address in tab.asked if not address.startswith((server.url, "data:"))} == set()
        assert tab.wrong == []
        tab.context.close()
        server.shutdown()
        thread.join(10)


def test_the_policy_of_a_page_forbids_a_request_and_a_foreign_script(browser: Any, report: Path) -> None:
    tab = Tab(browser)
    page = tab.open((report / "index.html").as_uri())
    refused = page.evaluate(
        """() => new Promise((done) => {
            const seen = [];
            document.addEventListener('securitypolicyviolation', (event) => {
                seen.push(event.effectiveDirective);
                if (seen.length === 3) done(seen.sort());
            });
            fetch('http://127.0.0.1:9/').catch(() => 0);
            document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}));
            document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}));
            setTimeout(() => done(seen.sort()), 5000);
        })"""
    )
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert page.evaluate("window.ran") is None
    tab.context.close()
