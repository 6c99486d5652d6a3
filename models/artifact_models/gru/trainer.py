"""Train a GRU on windows of rows, stop when validation no longer gets better, and keep the best state.

Knows neither store nor schema: arrays go in, a network and an account of the training come out. What happens to the
rows before (imputing, scaling) is not done here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Self

from artifact_models import configuration, indexing
from artifact_models.gru.architecture import Architecture
from artifact_models.gru.windows import ends, windows
from artifact_models.libraries import library
from artifact_store import errors

if TYPE_CHECKING:
    from artifact_models.gru.network import GRUNetwork

OPTIMIZERS: Final = ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD")
OBJECTIVES: Final = ("regression", "binary")
_LEAST_SEED: Final = -(2**63)  # torch takes a negative one for a large one


@dataclass(frozen=True, slots=True)
class GRUSettings:
    """How to build and train the network, under the names of the ``config`` of a run."""

    sequence_length: int = 24
    hidden_size: int = 64
    num_layers: int = 2
    dropout: float = 0.2
    fc_size: int = 32
    objective: str = "regression"
    optimizer: str = "Adam"
    learning_rate: float = 0.001
    batch_size: int = 64
    epochs: int = 50
    early_stopping_patience: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("sequence_length", "hidden_size", "num_layers", "fc_size", "batch_size", "epochs"):
            value = getattr(self, name)
            if not _is_whole(value) or value < 1:
                raise errors.InvalidOption(f"{name} is a whole number from 1, not {value!r}")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise errors.InvalidOption(f"dropout is a share from 0 to below 1, not {self.dropout!r}")
        if not _is_number(self.learning_rate) or not self.learning_rate > 0:
            raise errors.InvalidOption(f"learning_rate is above 0, not {self.learning_rate!r}")
        if not _is_whole(self.seed) or not _LEAST_SEED <= self.seed < 2**64:
            raise errors.InvalidOption(f"seed is a whole number from -2 ** 63 to below 2 ** 64, not {self.seed!r}")
        for name, choices in (("optimizer", OPTIMIZERS), ("objective", OBJECTIVES)):
            if getattr(self, name) not in choices:
                raise errors.InvalidOption(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Return the settings in a config, which may hold other things beside them."""
        return cls(**{name: config[name] for name in cls.names() if name in config})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all settings."""
        return tuple(part.name for part in fields(cls))

    def to_config(self) -> dict[str, Any]:
        """Return all settings by name."""
        return asdict(self)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or isinstance(value, float)


@dataclass(frozen=True, slots=True)
class GRUFit:
    """The result of a training: the network in its best state, and how it got there."""

    network: GRUNetwork
    architecture: Architecture
    best_epoch: int
    history: tuple[Mapping[str, float], ...]
    """``train_loss`` and, where there was validation, ``valid_loss`` of each epoch."""
    train_windows: int
    valid_windows: int
    feature_names: tuple[str, ...]
    selected_features: tuple[int, ...]
    checkpoint: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Where the training stands after its last epoch, which :meth:`GRUTrainer.train` goes on from: dicts of tensors."""


@dataclass(slots=True)
class _Progress:
    """A training under way: network and optimizer after an epoch, and the best epoch so far.

    With equal losses the earlier epoch stays.
    """

    network: GRUNetwork
    optimizer: Any
    history: list[Mapping[str, float]] = field(default_factory=list)
    loss: float = float("inf")
    epoch: int = 0
    state: dict[str, Any] = field(default_factory=dict)

    def offer(self, losses: Mapping[str, float]) -> None:
        """Take the losses of one more epoch."""
        self.history.append(losses)
        loss = _watched(losses)
        if loss < self.loss:
            self.loss, self.epoch = loss, len(self.history)
            self.state = copy.deepcopy(dict(self.network.state_dict()))

    def checkpoint(self, random: Any) -> dict[str, Any]:
        """Return where the training stands, with the state of torch's random numbers."""
        return {
            "network": copy.deepcopy(dict(self.network.state_dict())),
            "optimizer": self.optimizer.state_dict(),
            "random": random,
            "history": [dict(losses) for losses in self.history],
            "best": {"epoch": self.epoch, "loss": self.loss, "state": self.state},
        }

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Go back to where a training stood, torch's random numbers included.

        Raises:
            Corrupt: it is the checkpoint of another network or optimizer, or none.
        """
        import torch

        try:
            best = checkpoint["best"]
            torch.set_rng_state(checkpoint["random"])
            self.network.load_state_dict(checkpoint["network"])
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            self.history = [dict(losses) for losses in checkpoint["history"]]
            self.loss, self.epoch, self.state = float(best["loss"]), int(best["epoch"]), dict(best["state"])
            _watched(self.history[self.epoch - 1])
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise errors.Corrupt(f"this is not where a training of this network stood: {error}") from error


def _watched(losses: Mapping[str, float]) -> float:
    return losses.get("valid_loss", losses["train_loss"])


class GRUTrainer:
    """Train networks with the same settings: ``GRUTrainer(sequence_length=12, epochs=20).train(…)``.

    ``config`` has settings by name, or is the configuration of an application with the part ``models.gru``; keywords
    change single settings.

    Raises:
        InvalidOption: there is no such setting, or its value means nothing.
    """

    def __init__(self, config: GRUSettings | Mapping[str, Any] | None = None, **changes: Any) -> None:
        base = config.to_config() if isinstance(config, GRUSettings) else config
        asked = configuration.given_settings("gru", base, changes)
        configuration.check_names("a GRU", asked, GRUSettings.names())
        self.settings = GRUSettings(**asked)

    def train(
        self,
        X: Any,
        y: Any,
        train_idx: Any,
        valid_idx: Any,
        *,
        feature_names: Sequence[str] | None = None,
        selected_features: Sequence[int] | None = None,
        progress: indexing.Report | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> GRUFit:
        """Train on windows of the rows ``train_idx`` of ``X``; the target of a window is the ``y`` of its last row.

        ``X`` holds all features, ready for the network; ``selected_features`` are the columns that it is given. A
        window lies wholly within the rows for training, or wholly within those for validation. The same data and
        seed give the same network on the same machine; torch's own random state is as before.

        With the ``checkpoint`` of an earlier training of such a network, it goes on for ``epochs`` more: on the same
        data to what one training of all these epochs gives, bit for bit.

        Raises:
            Corrupt: ``checkpoint`` is that of another network or optimizer.
            InvalidInput: rows, targets or names do not fit each other; no window fits; a loss is NaN.
            FeatureMismatch: a row that is used holds NaN or an infinity.
            Unsupported: torch is not installed.
        """
        matrix, names, selected = _checked(X, feature_names, selected_features)
        target = indexing.targets(y, len(matrix))
        train, valid = indexing.split(len(matrix), train_idx, valid_idx)
        _refuse_holes(matrix, [names[place] for place in selected], train, valid)
        length = self.settings.sequence_length
        train_ends, valid_ends = ends(train, length), ends(valid, length)
        for what, idx, found in (("train_idx", train, train_ends), ("valid_idx", valid, valid_ends)):
            if len(idx) and not len(found):
                raise errors.InvalidInput(
                    f"{what} has {len(idx)} rows, and nowhere {length} in a row, which a window takes (sequence_length)"
                )
        self._check_targets(target, train_ends, valid_ends)
        data = _Data(windows(matrix, length), target.astype("float32"), length)
        architecture = Architecture(
            len(selected), self.settings.hidden_size, self.settings.num_layers, self.settings.fc_size, 1
        )
        made, last = self._optimize(architecture, data, train_ends, valid_ends, progress, checkpoint)
        made.network.load_state_dict(made.state)
        return GRUFit(
            network=made.network.eval(),
            architecture=architecture,
            best_epoch=made.epoch,
            history=tuple(made.history),
            checkpoint=last,
            train_windows=len(train_ends),
            valid_windows=len(valid_ends),
            feature_names=names,
            selected_features=selected,
        )

    def _optimize(
        self,
        architecture: Architecture,
        data: _Data,
        train: Any,
        valid: Any,
        progress: indexing.Report | None,
        checkpoint: Mapping[str, Any] | None,
    ) -> tuple[_Progress, dict[str, Any]]:
        torch = library("torch", "gru")
        from artifact_models.gru.network import GRUNetwork

        settings = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = GRUNetwork(architecture, dropout=settings.dropout)
            optimizer = getattr(torch.optim, settings.optimizer)(network.parameters(), lr=settings.learning_rate)
            made = _Progress(network, optimizer)
            if checkpoint is not None:
                made.restore(checkpoint)
            done = len(made.history)
            for epoch in range(done + 1, done + settings.epochs + 1):
                order = train[torch.randperm(len(train)).numpy()]
                losses = {"train_loss": self._epoch(network, optimizer, data, order)}
                if len(valid):
                    losses["valid_loss"] = self._loss_of(network, data, valid)
                watched = _watched(losses)
                if watched != watched:  # noqa: PLR0124 -- NaN is what differs from itself
                    raise errors.InvalidInput(
                        f"the loss is not a finite number in epoch {epoch}: scale the inputs, or lower learning_rate"
                    )
                made.offer(losses)
                if progress is not None:
                    progress(epoch, done + settings.epochs, losses)
                if len(valid) and epoch - made.epoch >= settings.early_stopping_patience:
                    break
            return made, made.checkpoint(torch.get_rng_state())

    def _epoch(self, network: GRUNetwork, optimizer: Any, data: _Data, order: Any) -> float:
        network.train()
        total = 0.0
        for batch, target in data.batches(order, self.settings.batch_size):
            optimizer.zero_grad()
            loss = self._loss(network(batch)[:, 0], target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        return total / len(order)

    def _loss_of(self, network: GRUNetwork, data: _Data, chosen: Any) -> float:
        import torch

        network.eval()
        total = 0.0
        with torch.no_grad():
            for batch, target in data.batches(chosen, 1024):
                total += self._loss(network(batch)[:, 0], target).item() * len(target)
        return total / len(chosen)

    def _loss(self, found: Any, target: Any) -> Any:
        from torch.nn import functional

        if self.settings.objective == "binary":
            return functional.binary_cross_entropy_with_logits(found, target)
        return functional.mse_loss(found, target)

    def _check_targets(self, target: Any, train: Any, valid: Any) -> None:
        import numpy as np

        used = target[np.concatenate((train, valid))]
        if used.dtype.kind not in "fiub" or not np.isfinite(used).all():
            raise errors.InvalidInput("y holds NaN, an infinity or a value that is not a number: leave these rows out")
        if self.settings.objective == "binary" and not np.isin(used, (0, 1)).all():
            raise errors.InvalidInput(f"a binary objective takes 0 and 1 in y; it holds {np.unique(used)[:5].tolist()}")


@dataclass(frozen=True, slots=True)
class _Data:
    """Windows by the row on which they end, and targets by row."""

    windows: Any
    target: Any
    length: int

    def batches(self, chosen: Any, size: int) -> Iterator[tuple[Any, Any]]:
        import torch

        for start in range(0, len(chosen), size):
            some = chosen[start : start + size]
            yield torch.from_numpy(self.windows[some - (self.length - 1)]), torch.from_numpy(self.target[some])


def _checked(
    X: Any, feature_names: Sequence[str] | None, selected_features: Sequence[int] | None
) -> tuple[Any, tuple[str, ...], tuple[int, ...]]:
    """Return the selected columns in float32, all names, and the positions of the selected ones."""
    import numpy as np

    own = indexing.column_names(X)
    matrix = indexing.numbers(X if feature_names is None else indexing.named(X, feature_names))
    if matrix.ndim != 2:  # noqa: PLR2004 -- rows and columns
        raise errors.InvalidInput(f"training data has rows and columns; got {matrix.ndim} dimensions")
    width = matrix.shape[1]
    names = tuple(own or (f"feature_{place}" for place in range(width)) if feature_names is None else feature_names)
    if len(names) != width:
        raise errors.FeatureMismatch(f"feature_names has {len(names)} names, and X has {width} columns")
    selected = indexing.selection(width, selected_features)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes an infinity, and is refused as one
        return matrix.astype(np.float32)[:, list(selected)], names, selected


def _refuse_holes(matrix: Any, names: Sequence[str], train: Any, valid: Any) -> None:
    import numpy as np

    used = np.isfinite(matrix[np.concatenate((train, valid))])
    holes = [name for name, fine in zip(names, used.all(axis=0), strict=True) if not fine]
    if holes:
        raise errors.FeatureMismatch(
            f"{len(holes)} features hold NaN or an infinity (or what float32 cannot hold) in rows to train on: "
            f"{holes[:10]}. Impute them, or leave these rows out of train_idx and valid_idx"
        )
