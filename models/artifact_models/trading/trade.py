"""The paper trader: which model there is for each symbol, and what it says of the newest bar.

``python -m artifact_models.trade --help``. It places no order. A model that is broken, or does not fit the data, is one
row of the table; all others are asked just the same.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from artifact_models.adapter import BaseModelAdapter
from artifact_models.families import load_adapter
from artifact_models.installed import model_types
from artifact_models.trading.market import check_plain, file_of, live_frame
from artifact_models.trading.signals import newest_signals
from artifact_models.trading.validated_runs import COMPARED, UNCHECKED, ValidatedRuns
from artifact_store import ArtifactStore, FeatureSchema, ModelKey, Run
from artifact_store.cli import program

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

PREFER: Final = ("best_wf", "latest")
WORKERS: Final = 8
_SHOWN: Final = 5
_CHECKED: Final = ValidatedRuns()
"""What this process has checked."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What one model says of the newest bar, or why it says nothing."""

    symbol: str
    model: str
    bar: str = ""
    run: str = ""
    found_by: tuple[str, ...] = ()
    """The steps that led to this run, the last one to the run itself."""
    checked: str = ""
    """``compared`` with its golden predictions, ``not compared`` if it has none, ``unchecked`` if nothing was asked."""
    kind: str = ""
    """What ``value`` is: a ``probability`` minus one half, a predicted ``value``, a ``position``."""
    value: float | None = None
    signal: str = ""
    says: str = ""
    columns: int | None = None
    """How many columns the data have."""
    features: int | None = None
    """How many the model was trained on."""
    error: str = ""
    message: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is no signal."""
        return bool(self.error)

    @property
    def why(self) -> str:
        """Return how the run was found, in a word."""
        last = self.found_by[-1] if self.found_by else ""
        if "@" in last:
            return last.partition("@")[2].partition(":")[0]
        return "newest" if last else ""


def signals(
    store: ArtifactStore,
    symbols: Sequence[str],
    data: Path,
    *,
    models: Sequence[str],
    prefer: Sequence[str] = PREFER,
    time_format: str | None = None,
    checked: ValidatedRuns | None = _CHECKED,
    max_run_age: timedelta | None = None,
) -> list[Signal]:
    """Return one signal for each symbol and type, in their order; all models are loaded and asked in parallel.

    Whatever is wrong with one model, or with the data of one symbol, stands in its signal and stops no other. A run is
    validated when it is first met, and passed over unless it is sound; with ``checked=None`` it is not. One that was
    saved longer ago than ``max_run_age`` is passed over, too, and so is one that a note says not to trade.
    """

    def find(key: ModelKey) -> Run:
        return store.find(key, prefer=prefer, max_run_age=max_run_age)

    with ThreadPoolExecutor(min(WORKERS, len(symbols) * (len(models) + 1)), thread_name_prefix="trade") as pool:
        frames = {symbol: pool.submit(_frame, symbol, data, time_format) for symbol in symbols}
        pending = [
            pool.submit(_signal, ModelKey(model, symbol), find, checked, frames[symbol].result)
            for symbol in symbols
            for model in models
        ]
        return [future.result() for future in pending]


def _frame(symbol: str, data: Path, time_format: str | None) -> pd.DataFrame:
    return live_frame(file_of(symbol, data), time_format=time_format)


def _signal(
    key: ModelKey, find: Callable[[ModelKey], Run], checked: ValidatedRuns | None, frame: Callable[[], pd.DataFrame]
) -> Signal:
    """Find, check, load, align and predict. Whatever goes wrong with this one becomes the answer."""
    known: dict[str, Any] = {"symbol": key.symbol, "model": key.model_type}
    try:
        run = find(key)
        known |= {"run": str(run.run_id), "found_by": run.found_by}
        run.notes().check_tradable()
        known["checked"] = UNCHECKED if checked is None else checked(run)
        adapter = load_adapter(run)
        rows = frame()
        known |= {"bar": f"{rows.index[-1]:%Y-%m-%d %H:%M}", "columns": rows.shape[1]}
        if adapter.features is not None:
            known["features"] = adapter.features.feature_count
            _compare(adapter, adapter.features, rows)
        found = newest_signals(adapter, rows)
    except Exception as error:  # noqa: BLE001 -- of a library too, which met what it did not expect: the others go on
        return Signal(**known, error=type(error).__name__, message=str(error))
    return Signal(**known, kind=found.kind, value=found.last, signal=found.signal(), says=found.words())


def _compare(adapter: BaseModelAdapter, features: FeatureSchema, frame: pd.DataFrame) -> None:
    """Log it when the data have other columns than the model was trained on."""
    name = adapter.run.ref if adapter.run is not None else adapter.model_type
    if features.names_inferred:
        log.warning(
            "%s was trained on %d features without names, the data have %d columns",
            name,
            features.feature_count,
            frame.shape[1],
        )
        return
    missing = [column for column in features.names if column not in frame.columns]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (" ..." if len(missing) > _SHOWN else "")
        log.warning(
            "%s was trained on %d features, the data have %d columns, and %d of the features are not among them: %s",
            name,
            features.feature_count,
            frame.shape[1],
            len(missing),
            program.safe(shown),
        )
    elif features.feature_count != frame.shape[1]:
        log.info(
            "%s was trained on %d features, the data have %d columns: the other %d are ignored",
            name,
            features.feature_count,
            frame.shape[1],
            frame.shape[1] - features.feature_count,
        )


# ---------------------------------------------------------------- the program


_UNITS: Final[Mapping[str, str]] = {"d": "days", "h": "hours", "m": "minutes"}


def read_age(context: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    """Read a length of time: ``30d``, ``12h`` or ``90m``; the callback of an option.

    Raises:
        click.BadParameter: it is written otherwise.
    """
    if value is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,5})([dhm])", value)
    if found is None:
        raise click.BadParameter("it is written 30d, 12h or 90m.", ctx=context, param=option)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.command(cls=program.Program, problems="at least one model could not be used")
@click.option("--symbols", required=True, metavar="NAME,...", help="What to trade.")
@click.option(
    "--data", type=program.HomePath(path_type=Path), required=True, help="A folder of SYMBOL.csv, or one CSV file."
)
@click.option(
    "--models", metavar="NAME,...", help="Which families to ask.  [all that are installed: gru, lightgbm, ppo ...]"
)
@click.option(
    "--prefer", default=",".join(PREFER), show_default=True, metavar="ALIAS,...", help="Where to look, in this order."
)
@click.option(
    "--legacy", type=program.HomePath(exists=True, path_type=Path), help="An old tree of models instead of a store."
)
@click.option(
    "--max-run-age",
    callback=read_age,
    metavar="AGE",
    help="Refuse a run that was saved longer ago, such as 30d or 12h.",
)
@click.option("--unchecked", is_flag=True, help="Trade runs without validating them.")
@click.option("--time-format", metavar="FORMAT", help="strptime's, for times that could mean two things.")
@click.option("-v", "--verbose", is_flag=True, help="Also log columns that are ignored, and how each run was found.")
def trade_command(
    *,
    symbols: str,
    data: Path,
    models: str | None,
    prefer: str,
    legacy: Path | None,
    max_run_age: timedelta | None,
    unchecked: bool,
    time_format: str | None,
    verbose: bool,
    as_json: bool,
    **where: Any,
) -> int:
    """Say what the models of each symbol make of the newest bar. Places no order.

    For each symbol and family the run of best_wf is taken, else latest, else the newest one; an alias that is broken
    is an error, not a reason to take something else. Each run is validated once: one that is broken, or that cannot be
    checked, gives no signal, and neither does one that was marked with `artifact-store annotate --do-not-trade`; one
    without golden predictions is marked 'not compared'. Features are computed from the candles and found by name;
    columns of your own stand beside them. An agent begins with an empty account some hundred bars before the newest
    one.
    """
    _log_to_stderr(verbose=verbose)
    wanted = _names(symbols, "--symbols")
    for symbol in wanted:
        check_plain(symbol)
    known, aliases = model_types(), _names(prefer, "--prefer")
    asked = known if models is None else _names(models, "--models")
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise click.BadParameter(
            f"there is no family {', '.join(unknown)}; there are {', '.join(known)}", param_hint="--models"
        )
    if len(wanted) > 1 and not data.is_dir():
        raise click.BadParameter("one file holds one symbol: give a folder of SYMBOL.csv", param_hint="--data")
    with _opened(legacy, where) as store:
        made = signals(
            store,
            wanted,
            data,
            models=asked,
            prefer=aliases,
            time_format=time_format,
            checked=None if unchecked else _CHECKED,
            max_run_age=max_run_age,
        )
    for of in made:
        for step in of.found_by:
            log.info("%s", step)
    program.answer({"signals": [_document(of) for of in made]}, _lines(made), as_json=as_json)
    return program.PROBLEMS if any(of.failed for of in made) else program.OK


def _opened(legacy: Path | None, where: Mapping[str, Any]) -> ArtifactStore:
    return program.open_store(**where) if legacy is None else ArtifactStore.open_legacy(legacy)


def _names(text: str, option: str) -> list[str]:
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise click.BadParameter("it names nothing", param_hint=option)
    return found


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    log.propagate = False


def _document(of: Signal) -> dict[str, Any]:
    value = asdict(of)
    return {**value, "value": None if of.value is None else program.finite(of.value), "found_by": list(of.found_by)}


HEAD = ("symbol", "model", "run", "found by", "checked", "newest bar", "says", "signal")


def _lines(made: Sequence[Signal]) -> Iterator[str]:
    yield from program.table(HEAD, [row(of) for of in made])
    broken = [of for of in made if of.failed]
    if broken:
        yield ""
    for of in broken:
        yield program.safe(f"{of.model}/{of.symbol}: {of.error}: {of.message}")


def row(of: Signal) -> list[str]:
    """Return a signal as a row of a table under ``HEAD``."""
    says, signal = (of.error, "-") if of.failed else (of.says, of.signal)
    checked = "ok" if of.checked == COMPARED else of.checked or "-"
    return [of.symbol, of.model, of.run or "-", of.why or "-", checked, of.bar or "-", says, signal]
