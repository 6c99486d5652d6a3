"""Make the pictures of a report in ``docs/report``: a small store is filled, reported, and looked at with Chromium.

    python -m tools.report_pictures [--chromium PATH]

Needs playwright's Python package (it is in the extra ``dev``) and a Chromium on the path, such as Debian's
``apt-get install chromium``; nothing is downloaded. The times in the pictures are those of this store and not of today.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore, FeatureSchema

HERE = Path(__file__).resolve().parents[1]
PICTURES = HERE / "docs" / "report"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BEGIN = datetime(2024, 1, 8, 6, 0, tzinfo=UTC)
COLORS = 96
WIDE, NARROW = (1180, 860), (400, 820)
FEATURES = ["ret_1", "ret_5", "ret_20", "vol_20", "rsi_14", "spread", "hour", "carry"]


def fill(url: str | Path) -> ArtifactStore:
    """Make a store with four models, aliases that moved, and runs that differ."""
    now = [BEGIN]
    store = ArtifactStore(url, clock=lambda: now[0], actor="trainer-1", provenance=("packages",))
    rng = random.Random(7)  # noqa: S311 -- the same picture each time
    for key, count, level in (
        ("lightgbm/EURUSD", 64, 1.2),
        ("lightgbm/GBPUSD", 31, 0.9),
        ("gru/BTC;2FUSDT", 24, 0.7),
        ("ppo/GOOGL", 12, 0.4),
    ):
        parent = None
        for number in range(count):
            now[0] = BEGIN + timedelta(days=2.5 * number, minutes=len(key))
            score = level + 0.35 * math.sin(number / 6) + 0.012 * number + rng.gauss(0, 0.12)
            parent = store.save(
                model(key, rng, number),
                key,
                run_id=f"{now[0]:%Y%m%d_%H%M%S}",
                features=FeatureSchema(FEATURES, selected=FEATURES[:6], dtypes="float64", reason="by importance"),
                config={"rounds": 200 + 20 * (number % 4), "learning_rate": 0.05 if number % 3 else 0.03},
                training_config={"folds": 5, "embargo": "12h"},
                metrics={"sharpe": round(score, 3), "rmse": round(0.42 - score / 12, 4), "trades": 300 + number * 3},
                tags={"fold": str(number % 5), "regime": "calm" if number % 4 else "volatile"},
                description="with a wider embargo" if number % 9 == 1 else "",
                parent=parent if number % 5 else None,
                publish="always",
            )
        runs = list(store.runs(key))
        now[0] += timedelta(hours=3)
        store.promote(runs[count // 2], "production", reason="first one in production")
        now[0] += timedelta(hours=5)
        store.promote(runs[2], "production", reason="better Sharpe in every fold")
        store.promote(max(runs, key=lambda run: run.metrics["sharpe"]), "best_wf", reason="best walk-forward fold")
    store.index.rebuild()
    return store


def model(key: str, rng: random.Random, number: int) -> Any:
    """Return what is saved: a small booster, or some weights."""
    if not key.startswith("lightgbm/EUR"):
        return {"weights": [round(rng.gauss(0, 1), 6) for _ in range(64)]}
    import lightgbm
    import numpy as np

    source = np.random.default_rng(number)
    rows = source.normal(size=(400, 6))
    target = rows @ np.array([1.0, 0.5, 0.2, -0.8, 0.1, 0.0]) + source.normal(scale=0.4, size=400)
    settings = {"verbose": -1, "seed": 7, "num_threads": 1, "num_leaves": 8}
    return lightgbm.train(settings, lightgbm.Dataset(rows, target, feature_name=FEATURES[:6]), num_boost_round=12)


@contextmanager
def browser(chromium: str) -> Iterator[Any]:
    """Start a Chromium that is installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


def pictures(report: Path, chromium: str, target: Path) -> list[Path]:
    """Take all pictures of a report, and return where they are."""
    page_of = report / "models" / "lightgbm" / "EURUSD.html"
    runs = [run.run_id for run in ArtifactStore(report.parent / "models").runs("lightgbm/EURUSD", limit=4)]
    views = {
        "overview": (report / "index.html", ""),
        "model": (page_of, ""),
        "run": (page_of, f"#run={runs[2]}"),
        "diff": (page_of, f"#diff={runs[3]}..{runs[2]}"),
    }
    target.mkdir(parents=True, exist_ok=True)
    made = []
    with browser(chromium) as started:
        for suffix, scheme, size in (("light", "light", WIDE), ("dark", "dark", WIDE), ("narrow", "light", NARROW)):
            context = started.new_context(
                color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, offline=True, locale="en-GB"
            )
            page = context.new_page()
            for name, (file, place) in views.items():
                page.goto("about:blank")
                page.goto(file.as_uri() + place)
                made.append(target / f"{name}-{suffix}.png")
                page.screenshot(path=made[-1])
                shrink(made[-1])
            context.close()
    return made


def shrink(picture: Path) -> None:
    """Write a picture with fewer colours, in a third of the bytes."""
    from PIL import Image

    with Image.open(picture) as taken:
        few = taken.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


def main() -> int:
    """Make the pictures."""
    given = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    given.add_argument("--chromium", default=next(filter(None, map(shutil.which, BROWSERS)), None), metavar="PATH")
    given.add_argument("--to", type=Path, default=PICTURES, metavar="FOLDER")
    options = given.parse_args()
    if options.chromium is None:
        print("there is no Chromium on the path; name one with --chromium", file=sys.stderr)
        return 2
    target = options.to.absolute()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        store = fill("models")
        store.report("report", metric="sharpe")
        for path in pictures(Path(folder) / "report", options.chromium, target):
            print(f"{path} ({path.stat().st_size / 1024:.0f} KiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
