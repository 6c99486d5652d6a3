"""How good predictions were on bars that the model had not seen. Nothing here promises a profit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """Out of sample, of one signal for each bar."""

    rows: int
    majority: float
    """The accuracy of always naming the commoner direction."""
    accuracy: float
    """How often the side that was taken was the right one; bars without a position are not counted."""
    auc: float
    """The probability that a bar that rose was given more than one that did not."""
    ic: float
    """Information coefficient: the rank correlation of signal and return."""
    sharpe: float
    """Annualised, of holding the positions that follow from the signals, after costs."""
    hold: float
    """Annualised, of buying and holding over the same bars."""

    def metrics(self, prefix: str) -> dict[str, float]:
        """Return the numbers by name."""
        return {f"{prefix}{name}": value for name, value in asdict(self).items()}


def score(
    signal: Floats, returns: Floats, *, cost: float, bars_per_year: float, position: Floats | None = None
) -> Score:
    """Compare signals with the returns that came; they are long above 0 and short below.

    ``position`` says what was really held, from -1 to 1, where that is not the sign of the signal. ``cost`` is that
    of changing the position by one unit, as a part of its value. A number that the data cannot give is NaN.
    """
    import numpy as np
    import pandas as pd

    rose = returns > 0
    held = np.sign(signal) if position is None else position
    turnover = np.abs(np.diff(held, prepend=0.0))
    taken = held != 0
    return Score(
        rows=len(signal),
        majority=float(max(rose.mean(), 1 - rose.mean())),
        accuracy=float(((held > 0) == rose)[taken].mean()) if taken.any() else float("nan"),
        auc=_auc(signal, rose),
        ic=_correlation(pd.Series(signal).rank(), pd.Series(returns).rank()),
        sharpe=_sharpe(held * returns - cost * turnover, bars_per_year),
        hold=_sharpe(returns, bars_per_year),
    )


def chance(of: Score) -> float:
    """Return the standard error of the AUC of a coin on so many rows."""
    import math

    ups = of.rows * of.majority
    return math.sqrt((of.rows + 1) / (12 * ups * (of.rows - ups))) if 0 < ups < of.rows else float("nan")


def _auc(signal: Floats, rose: NDArray[np.bool_]) -> float:
    """Return the AUC through the ranks (Mann-Whitney U)."""
    import pandas as pd

    ranks = pd.Series(signal).rank().to_numpy()
    ups, downs = int(rose.sum()), int((~rose).sum())
    if not ups or not downs:
        return float("nan")
    return float((ranks[rose].sum() - ups * (ups + 1) / 2) / (ups * downs))


def _correlation(a: Any, b: Any) -> float:
    return float(a.corr(b)) if a.std() > 0 and b.std() > 0 else float("nan")


def _sharpe(gains: Floats, bars_per_year: float) -> float:
    spread = float(gains.std())
    return float(gains.mean()) / spread * bars_per_year**0.5 if spread > 0 else float("nan")
