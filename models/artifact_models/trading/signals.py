"""The signals of a model of any family in one form: above 0 for a rise, below for a fall."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifact_models.adapter import BaseModelAdapter
from artifact_models.trading.market import tail
from artifact_store import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

AGENT_BARS = 250
"""How far back an agent begins with an empty account, so that what it holds now is its own doing."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Of the last bars of a frame, one value for each."""

    values: Floats
    """A probability minus one half, a predicted number, or a position."""
    kind: str
    """``probability``, ``value`` or ``position``."""

    @property
    def positions(self) -> Floats:
        """What to hold, from -1 (short) to 1 (long)."""
        import numpy as np

        return self.values if self.kind == "position" else np.sign(self.values)

    @property
    def last(self) -> float:
        """The value of the last bar."""
        return float(self.values[-1])

    def words(self) -> str:
        """Return the signal of the last bar for people."""
        last = self.last
        if self.kind == "probability":
            return f"rise {100 * (last + 0.5):.1f} %"
        return f"hold {last:+.2f}" if self.kind == "position" else f"value {last:+.6g}"

    def signal(self) -> str:
        """Return ``long``, ``short`` or ``flat`` for the last bar."""
        position = float(self.positions[-1])
        return "long" if position > 0 else "short" if position < 0 else "flat"


def signals_of(adapter: BaseModelAdapter, frame: Any) -> Signals:
    """Return the signal for every bar of a frame that has enough bars before it.

    Raises:
        FeatureMismatch, ComponentNotFound: as the adapter's ``predict``; or it predicts several numbers for a bar.
    """
    import numpy as np

    positions = getattr(adapter, "positions", None)
    if positions is not None:
        return Signals(positions(adapter.predict(frame)), "position")
    shares = _probabilities(adapter, frame)
    if shares is not None:
        if shares.shape[1] != 2:  # noqa: PLR2004 -- a fall and a rise
            raise errors.FeatureMismatch(f"it has {shares.shape[1]} classes, and a signal takes two")
        _check_labels(getattr(adapter, "classes", None))
        return Signals(shares[:, 1] - 0.5, "probability")
    values = np.asarray(adapter.predict(frame), dtype=np.float64)
    if values.ndim != 1:
        raise errors.FeatureMismatch(f"it predicts {values.shape[1]} numbers for a bar, and a signal takes one")
    return Signals(values, "value")


def newest_signals(adapter: BaseModelAdapter, frame: Any) -> Signals:
    """Return the signal for the newest bar; only the bars that it takes are read.

    Raises:
        FeatureMismatch, ComponentNotFound: as :func:`signals_of`; or it has a NaN instead of a signal.
    """
    bars = adapter.lookback + (AGENT_BARS if hasattr(adapter, "positions") else 0)
    found = signals_of(adapter, tail(frame, bars))
    if not math.isfinite(found.last):
        raise errors.FeatureMismatch(f"it predicts {found.last} for the newest bar, which is not a signal")
    return found


def _check_labels(labels: list[Any] | None) -> None:
    """Refuse two classes of which it is unknown which one is the rise.

    Raises:
        FeatureMismatch: they are words, or the higher number is not the second.
    """
    if labels is None or (all(isinstance(label, int | float) for label in labels) and labels[0] < labels[1]):
        return
    raise errors.FeatureMismatch(
        f"its classes are {labels[0]!r} and {labels[1]!r}, and which of them is a rise is not known: "
        "a signal takes numbers, the lower one for a fall"
    )


def _probabilities(adapter: BaseModelAdapter, frame: Any) -> Floats | None:
    """Return the probabilities of a classifier, and ``None`` for a model without them."""
    import numpy as np

    ask = getattr(adapter, "predict_proba", None)
    if ask is None:
        return None
    try:
        return np.asarray(ask(frame), dtype=np.float64)
    except errors.InvalidOption:  # it was trained to predict a number
        return None
