"""The adapter of agents: trained in the trading environment, predicts without it.

Predicting needs the policy and the frozen statistics of the observations, and nothing else of stable-baselines3: no
environment and no ``VecNormalize``. Always deterministic.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Self

from artifact_models import indexing
from artifact_models.adapter import BaseModelAdapter, mismatches_logged
from artifact_models.libraries import library
from artifact_models.ppo.observation import Account, EnvSettings, action_space_info, roll
from artifact_store import FeatureSchema, Observation, Run, errors

VECNORMALIZE = "model_vecnormalize"
_ENV = "env"
_HYPERPARAMETERS = "artifact_models.ppo.hyperparameters"
_OF_TRAINING = ("timesteps", "environments", "normalize", "seed")


class PPOAdapter(BaseModelAdapter):
    """An agent that was trained by proximal policy optimization.

    ``config`` holds the hyperparameters of stable-baselines3, ``timesteps``, ``environments``, ``normalize``, ``seed``
    and under ``env`` the settings of the environment, among them ``price``: the column in which gains are counted. The
    classes of a policy may be given by name: ``policy_kwargs={"activation_fn": "ReLU"}``. The agent observes the
    selected features; all but the price unless they are given. ``normalizer`` has the statistics of the observations,
    or is ``None``.
    """

    model_type: ClassVar[str] = "ppo"
    tolerance: ClassVar[float] = 1e-6

    normalizer: Any = None
    settings: EnvSettings | None = None

    @classmethod
    def known_settings(cls) -> Collection[str]:
        """Return the names that may stand in a config."""
        return (*_OF_TRAINING, _ENV, *library(_HYPERPARAMETERS, "ppo").hyperparameter_names())

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return these settings; the trainer adds the defaults.

        Raises:
            InvalidOption: there is no such setting, or one of the environment means nothing.
            Unsupported: stable-baselines3, which knows its hyperparameters, is not installed.
        """
        _environment(given)
        _check_training(given)
        if given.keys() <= {*_OF_TRAINING, _ENV}:
            return dict(given)
        known = library(_HYPERPARAMETERS, "ppo")
        known.check_hyperparameters(given, beside=(*_OF_TRAINING, _ENV))
        settings: dict[str, Any] = known.with_names(given)
        return settings

    @property
    def algorithm(self) -> Any:
        """The algorithm of stable-baselines3, to train on: give it an environment, and call ``learn``."""
        self._schema()
        return self.model

    # ------------------------------------------------------------ train

    def fit(
        self,
        X: Any,
        y: Any = None,
        train_idx: Any = None,
        valid_idx: Any = None,
        *,
        progress: indexing.Report | None = None,
    ) -> Self:
        """Train on consecutive bars of ``X``, which has the price among its columns, and return the adapter.

        ``y`` is not looked at: the agent is rewarded with its gains. Without ``train_idx`` it trains on all rows. Those
        of ``valid_idx`` are traded afterwards, once, and ``metrics`` tell how that went.

        Raises:
            InvalidInput: the data cannot be trained on; the adapter is as it was.
            Unsupported: stable-baselines3 is not installed.
        """
        del y
        if self._given_preprocessor is not None:
            raise errors.InvalidOption(
                "an agent's observations are normalised while it trains (config normalize=True): leave out preprocessor"
            )
        train, valid = indexing.split(indexing.count(X), slice(None) if train_idx is None else train_idx, valid_idx)
        asked = self._to_train()
        settings = _environment(asked)
        _check_training(asked)
        features = self._observed(self._describe(X, nan="refuse", inf="refuse"), settings)
        data, prices = _columns(features, settings, features.align(X))
        training, validation = _consecutive(train, "train_idx"), _consecutive(valid, "valid_idx")
        trainer = library("artifact_models.ppo.trainer", "ppo")
        try:
            trained = trainer.train_agent(
                data[training],
                prices[training],
                feature_names=features.names,
                selected_features=features.selected,
                settings=settings,
                progress=_told(progress),
                hyperparameters={name: value for name, value in asked.items() if name not in {*_OF_TRAINING, _ENV}},
                **{name: asked[name] for name in _OF_TRAINING if asked.get(name) is not None},
            )
        except ValueError as error:
            raise errors.InvalidInput(f"this cannot be trained on: {error}") from error
        new = copy.copy(self)
        new.features, new.model, new.run, new.missing = features, trained.algorithm, None, ()
        new.normalizer, new.settings = trained.normalizer, trained.settings
        new.config = {**trained.hyperparameters, _ENV: trained.settings.to_json()}
        new.training_config = {
            "train_rows": len(train),
            "valid_rows": len(valid),
            "observation_shape": list(new._shape()),  # noqa: SLF001 -- another one of ourselves
            "action_space_info": action_space_info(new.model.action_space),
        }
        new.metrics = new._trade(data, prices, validation) if len(valid) else {}  # noqa: SLF001 -- as above
        new.example_inputs = new._observations(data[training], prices[training])  # noqa: SLF001 -- as above
        vars(self).update(vars(new))
        return self

    def resume(
        self,
        X: Any,
        train_idx: Any = None,
        *,
        timesteps: int,
        seed: int | None = None,
        progress: indexing.Report | None = None,
    ) -> Self:
        """Train on from the run that this adapter was loaded from or saved as, on bars of ``X``.

        Optimizer, number of steps and the statistics of the observations go on from where they were; the episodes and
        the random generators do not, but ``seed`` makes them begin anew in a known state. ``metrics`` told of the agent
        as it was, and are empty afterwards.

        Raises:
            InvalidInput: the data cannot be trained on; there is no run to go on from.
            ComponentNotFound: the run has lost the statistics that it was trained with.
            FeatureMismatch: the run has no settings of the environment, so there is no environment to train in.
            Unsupported: stable-baselines3 is not installed.
        """
        features, settings, run = self._schema(), self._rebuildable(), self.run
        if run is None:
            raise errors.InvalidOption("training goes on from a run: save the agent, or load one")
        self._check_whole("there is no training without")
        train, _ = indexing.split(indexing.count(X), slice(None) if train_idx is None else train_idx, None)
        data, prices = _columns(features, settings, features.align(X))
        chosen = data[_consecutive(train, "train_idx")][:, list(features.selected)]
        trainer = library("artifact_models.ppo.trainer", "ppo")
        algorithm = run.load("model")
        try:
            venv = trainer.make_environments(chosen, prices[train], settings, int(self.config.get("environments", 1)))
        except ValueError as error:
            raise errors.InvalidInput(f"this cannot be trained on: {error}") from error
        if self.normalizer is not None:
            venv = trainer.normalized(venv, lambda empty: run.load(_statistics(run), into=empty))
        trainer.resume(algorithm, venv, timesteps, seed=seed, progress=_told(progress))
        self.model, self.run = algorithm, None
        self.normalizer = venv if self.normalizer is not None else None
        self.training_config = {**self.training_config, "resumed_from": str(run.ref)}
        self.metrics = {}  # those were of the agent that it was
        self.example_inputs = self._observations(data[train], prices[train])
        return self

    # ------------------------------------------------------------ predict

    def predict(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return what the agent does: one action for each observation, or for each bar with a whole window behind it.

        ``X`` is one observation or many, as they come from the environment; they are normalised here, unless
        ``preselected`` says that they are already. Or it is a raw table of consecutive bars (columns in any order,
        others beside them), for agents that were trained in our own environment: the observations are built as there,
        beginning with an empty account, and the agent's own actions decide what it holds. A table of n bars gives
        n - window + 1 actions, the last one for its last bar.

        Raises:
            FeatureMismatch: it is neither; a feature is missing; a value is not a number.
            ComponentNotFound: the run has lost the statistics of the observations.
        """
        with mismatches_logged(self._name):
            return self._actions(X, preselected=preselected, **matching)

    def _actions(self, X: Any, *, preselected: bool, **matching: Any) -> Any:
        features = self._schema()
        if not preselected:
            self._check_whole("pass observations that are normalised already, with preselected=True")
        if indexing.has_names(X):
            return self._roll_table(X, preselected=preselected, **matching)
        array = indexing.numbers(X)
        shape = self._shape()
        many = array.shape[1:] == shape
        as_rows = self.settings is not None and array.ndim == 2 and array.shape[1] == features.feature_count  # noqa: PLR2004
        if many and as_rows and not preselected:
            raise errors.FeatureMismatch(
                f"{array.shape[1]} numbers in a row may be an observation or all features of a bar: give a table of "
                "bars, or one observation at a time"
            )
        if as_rows and not many:
            return self._roll_table(array, preselected=preselected, **matching)
        if not many and array.shape != shape:
            bars = f", or bars of {features.feature_count} features" if self.settings is not None else ""
            raise errors.FeatureMismatch(f"expected observations of the shape {shape}{bars}; got {array.shape}")
        return self._decide(array, ready=preselected)

    def predict_example(self, inputs: Any, *, method: str = "predict") -> Any:
        """Return the actions for the observations of a golden example.

        Raises:
            InvalidOption: an agent is asked for anything but its actions.
        """
        if method != "predict":
            raise errors.InvalidOption(f"an agent has no {method}")
        self._check_whole("golden predictions need them")
        return self._decide(indexing.numbers(inputs), ready=False)

    @property
    def lookback(self) -> int:
        """The window that its environment shows at once."""
        return 1 if self.settings is None else int(self.settings.window)

    def positions(self, actions: Any) -> Any:
        """Return the positions that actions ask for, from -1 (short) to 1 (long), as an array.

        Raises:
            FeatureMismatch: the run does not say what its actions mean.
        """
        import numpy as np

        settings = self._rebuildable()
        return np.array([settings.position(action) for action in actions], dtype=np.float64)

    def _roll_table(self, X: Any, *, preselected: bool, **matching: Any) -> Any:
        import numpy as np

        features, settings = self._schema(), self._rebuildable()
        if preselected:
            raise errors.InvalidOption(
                "a table of bars is normalised here: leave out preselected, or give observations"
            )
        data, prices = _columns(features, settings, features.align(X, **matching))
        if len(data) < settings.window:
            raise errors.FeatureMismatch(f"the agent looks at {settings.window} bars at once; got {len(data)}")
        chosen = np.ascontiguousarray(data[:, list(features.selected)], dtype=np.float32)
        return np.asarray(roll(settings, chosen, prices, lambda observation: self._decide(observation, ready=False)))

    def _decide(self, observations: Any, *, ready: bool) -> Any:
        """Return the deterministic actions for observations of the right shape."""
        import numpy as np

        features, shape = self._schema(), self._shape()
        if observations.shape[observations.ndim - len(shape) :] != shape:
            raise errors.FeatureMismatch(f"expected observations of the shape {shape}; got {observations.shape}")
        bad = ~np.isfinite(observations) if features.inf == "refuse" else np.isnan(observations)
        if bad.any():
            raise errors.FeatureMismatch(f"{int(bad.sum())} values of the observations are NaN or infinite")
        if self.normalizer is not None and not ready:
            observations = self.normalizer.normalize_obs(observations)
        dtype = features.observation.dtype if features.observation is not None else "float32"
        return self.model.predict(np.asarray(observations).astype(dtype, copy=False), deterministic=True)[0]

    def _shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.model.observation_space.shape)

    def _rebuildable(self) -> EnvSettings:
        """Return the settings with which observations can be built from bars.

        Raises:
            FeatureMismatch: the run does not have them.
        """
        if self.settings is None:
            where = self.run.ref if self.run else "this agent"
            raise errors.FeatureMismatch(
                f"{where} was saved without the settings of its environment, so observations cannot be built from a "
                f"table and its actions have no known meaning: give ready observations of the shape {self._shape()}"
            )
        return self.settings

    # ------------------------------------------------------------ save and load

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, **({} if self.normalizer is None else {VECNORMALIZE: self.normalizer})}

    def _restore(self, run: Run) -> None:
        self.model = run.load("model")
        shape = self._observed_by_model(run)
        part = _statistics(run)
        self.normalizer = run.load(part) if part in run.components else None
        if self.normalizer is not None and not hasattr(self.normalizer, "normalize_obs"):
            raise self._unlike(run, self.normalizer, "statistics of observations", part)
        self.settings = _environment(run.config) if _ENV in run.config else None
        if self.features is None:
            self.features = FeatureSchema.inferred(max(sum(shape), 1), observation=Observation(shape))
        normalized = None if self.normalizer is None else self.normalizer.shape
        if normalized is not None and normalized != shape:
            raise errors.FeatureMismatch(
                f"the agent observes the shape {shape} (its policy), and {part!r} of {run.ref} has statistics "
                f"of the shape {normalized}: they are not those that it was trained with"
            )
        recorded = self.features.observation
        if recorded is not None and recorded.shape != shape:
            raise errors.FeatureMismatch(
                f"the agent observes the shape {shape} (its policy), and the feature schema of {run.ref} says "
                f"{recorded.shape}: the features are not those that it was trained on"
            )
        width = self.features.input_size
        if self.settings is not None and (self.settings.size(width),) != shape:
            raise errors.FeatureMismatch(
                f"the agent observes the shape {shape} (its policy), and {width} features in a window of "
                f"{self.settings.window} make {self.settings.size(width)} (the schema and the config of {run.ref})"
            )

    def _observed_by_model(self, run: Run) -> tuple[int, ...]:
        """Return the shape of what the agent observes.

        Raises:
            Corrupt: it is not an agent.
            Unsupported: it observes several arrays at once.
        """
        space = getattr(self.model, "observation_space", None)
        if space is None or not hasattr(self.model, "policy"):
            raise self._unlike(run, self.model, "an agent of stable-baselines3")
        if space.shape is None:
            raise errors.Unsupported(
                f"the agent of {run.ref} observes a {type(space).__qualname__} of spaces, and an adapter takes agents "
                "that observe one array: take the agent itself, run.load('model')"
            )
        return tuple(int(size) for size in space.shape)

    # ------------------------------------------------------------ in one's own words

    def _observed(self, features: FeatureSchema, settings: EnvSettings) -> FeatureSchema:
        """Return the schema with the selection and the shape of the observations."""
        if settings.price not in features.names:
            raise errors.FeatureMismatch(
                f"the price column {settings.price!r} is not among the {features.feature_count} columns, so there is "
                "nothing to count gains in; name another with config={'env': {'price': ...}}",
                missing=[settings.price],
            )
        if self._given_selection is None:
            features = features.with_selection([name for name in features.names if name != settings.price])
        observed = Observation((settings.size(features.input_size),), "float32")
        return FeatureSchema.from_json({**features.to_json(), "observation": observed.to_json()})

    def _trade(self, data: Any, prices: Any, valid: Any) -> dict[str, float]:
        """Return how the agent does on bars that it was not trained on, beginning with an empty account."""
        features, settings = self._schema(), self._rebuildable()
        window = slice(max(int(valid[0]) - settings.window + 1, 0), int(valid[-1]) + 1)
        chosen, prices = data[window][:, list(features.selected)], prices[window]
        if len(chosen) <= settings.window:
            return {}
        actions = roll(settings, chosen.astype("float32"), prices, lambda seen: self._decide(seen, ready=False))
        account, gains, changes = Account(), 0.0, 0
        for action, before, after in zip(
            actions,
            prices[settings.window - 1 :],
            prices[settings.window :],
            strict=False,  # the last has no next
        ):
            position, change = settings.position(action), float(after / before - 1)
            gains += account.gain(position, change, settings.cost)
            changes += position != account.position
            account = account.after(position, change)
        return {"valid_gain": gains, "valid_changes": float(changes)}

    def _observations(self, data: Any, prices: Any) -> Any:
        """Return the first observations of a walk through these bars: the inputs of the golden example."""
        import numpy as np

        features, settings = self._schema(), self._rebuildable()
        seen: list[Any] = []
        few = slice(settings.window + self.example_rows - 1)
        chosen = data[few][:, list(features.selected)].astype("float32")

        def act(observation: Any) -> Any:
            seen.append(observation)
            return self._decide(observation, ready=False)

        roll(settings, chosen, prices[few], act)
        return np.stack(seen)


def _statistics(run: Run) -> str:
    """Return the name of the component with the statistics of the observations."""
    return run.behind() or VECNORMALIZE


def _check_training(config: Mapping[str, Any]) -> None:
    """Refuse values of the settings of the training that mean nothing.

    Raises:
        InvalidOption: there is one.
    """
    for name, least in (("timesteps", 1), ("environments", 1), ("seed", 0)):
        value = least if config.get(name) is None else config[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise errors.InvalidOption(f"{name} is a whole number from {least}, not {value!r}")
    if not isinstance(config.get("normalize"), bool | None):
        raise errors.InvalidOption(f"normalize is True or False, not {config['normalize']!r}")


def _environment(config: Mapping[str, Any]) -> EnvSettings:
    """Return the settings of the environment in a config.

    Raises:
        InvalidOption: there is no such setting, or its value means nothing.
    """
    given = config.get(_ENV)
    try:
        return EnvSettings.from_json({} if given is None else given)
    except ValueError as error:
        raise errors.InvalidOption(f"config[{_ENV!r}]: {error}") from error


def _columns(features: FeatureSchema, settings: EnvSettings, aligned: Any) -> tuple[Any, Any]:
    """Return all features and the prices out of what was aligned, as arrays."""
    data = indexing.numbers(aligned).astype("float64", copy=False)
    return data, data[:, features.names.index(settings.price)]


def _told(progress: indexing.Report | None) -> Callable[[int, int], None] | None:
    """Return the callback that the trainer takes; there is nothing to measure on the way."""
    return None if progress is None else lambda done, total: progress(done, total, {})


def _consecutive(places: Any, what: str) -> Any:
    """Return places that follow each other without a gap.

    Raises:
        InvalidInput: there is one.
    """
    if len(places) and int(places[-1]) - int(places[0]) + 1 != len(places):
        raise errors.InvalidInput(f"an agent trades bars that follow each other, and {what} leaves some out in between")
    return places
