"""The wrappers between environments and an agent of stable-baselines3 as plain data, to be put around others again.

An agent that was trained behind ``VecFrameStack(n_stack=4)`` sees four frames at once, and is of no use without. What
has to be known is which wrappers there are, in which order and with which settings; of a VecNormalize among them the
statistics are kept as :class:`.ObservationNormalizer`. Not kept: the environments and what is inside of them (Monitor,
which stable-baselines3 puts there itself, and all other wrappers of gymnasium); the frames that were seen last, so that
what is made again begins with a reset; VecMonitor and others that only look on. A wrapper of the caller's own, right
around the environments, is a part of them, and known by its name alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, dotted, field, import_library
from artifact_store.codecs.json_arrays import MAX_ELEMENTS, check_expansion
from artifact_store.codecs.sb3 import vecnormalize
from artifact_store.codecs.sb3.layers import CHANGING, NORMALIZE, WATCHING, changing, is_normalizer_alone, layers
from artifact_store.codecs.sb3.spaces import flat_size, plain_space, read_plain_space
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer
from artifact_store.core.codec import JSON, Risk
from artifact_store.core.observing import AROUND, seen_behind
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable

_NOT_MADE: Final = (AssertionError, ValueError, TypeError, LookupError)
"""What wrappers raise for environments that they cannot be put around."""


@dataclass(frozen=True)
class Wrapper:
    """A wrapper by its name, and what it is made with."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class VecWrappers:
    """What stands between environments and an agent, the innermost first.

    ``observation_space`` is that of the environments, as JSON; ``own`` names the caller's own wrappers that belong to
    them, innermost first. Equal ones make equal observations of equal environments.
    """

    observation_space: Mapping[str, Any]
    steps: tuple[Wrapper | ObservationNormalizer, ...]
    own: tuple[str, ...] = ()

    def wrap(self, venv: Any) -> Any:
        """Return these wrappers around other environments, a VecEnv, as they were around those of the training.

        Raises:
            InvalidOption: the environments have another observation space, lack a wrapper of the caller's own, or
                these wrappers already.
        """
        codec = WrapperCodec()
        kinds = import_library("stable_baselines3.common.vec_env", codec)
        if not isinstance(venv, kinds.VecEnv):
            raise InvalidOption(f"this is a {dotted(type(venv))}: give a VecEnv, as DummyVecEnv([lambda: env]) is")
        _check_around(self, venv, codec)
        for step in self.steps:
            try:
                if isinstance(step, ObservationNormalizer):
                    venv = vecnormalize.around(venv, step)
                else:
                    venv = getattr(kinds, step.name)(venv, **step.settings)
            except _NOT_MADE as error:
                raise InvalidOption(f"{_name(step)} cannot be put around these environments: {error}") from error
        return venv

    @property
    def shape(self) -> Any:
        """The shape of what :meth:`normalize_obs` takes, or of each part of it; ``None`` if it takes nothing."""
        last = self.steps[-1]
        return last.shape if isinstance(last, ObservationNormalizer) else None

    def normalize_obs(self, obs: Any) -> Any:
        """Return observations that went through all other wrappers normalised, if that comes last; a copy.

        Raises:
            InvalidOption: another wrapper comes last.
        """
        last = self.steps[-1]
        if not isinstance(last, ObservationNormalizer):
            raise InvalidOption(f"{_name(last)} comes last, and not a VecNormalize: use wrap(venv) around environments")
        return last.normalize_obs(obs)


class WrapperCodec:
    """Store the wrappers of an environment, or :class:`VecWrappers`, in ``{stem}.json``.

    Chosen for all that change observations, but for a VecNormalize alone: ``vecnormalize`` stores that.
    """

    name: ClassVar[str] = "sb3-wrappers"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (*CHANGING, *WATCHING, f"{__name__}.VecWrappers")
    extra: ClassVar[str | None] = "sb3"
    libraries: ClassVar[tuple[str, ...]] = ("stable-baselines3", "gymnasium", "numpy")

    def accepts(self, obj: Any) -> bool:
        """Leave a VecNormalize alone, without other wrappers in it, to its own codec."""
        return not is_normalizer_alone(obj)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write names, settings and statistics; refuse a wrapper of the caller's own between those of the library."""
        wrappers = obj if type(obj) is VecWrappers else wrappers_of(obj)
        record = _to_json(wrappers)
        try:
            _from_json(self, record, "it")
        except Corrupt as error:
            raise NotEncodable(f"these wrappers could not be read back: {error}") from error
        with all_or_nothing(directory, stem):
            files.write_settings(directory / f"{stem}.json", record)
        seen = mark_of(wrappers.steps)
        return {} if seen is None else {AROUND: seen}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return the :class:`VecWrappers`; its ``wrap(venv)`` puts them around environments."""
        del options
        if into is not None:
            raise InvalidOption("wrappers are put around environments: leave out into=, and call wrap(venv)")
        path = directory / f"{stem}.json"
        record = files.read_settings(path)
        check_expansion(record, path.name)
        return _from_json(self, record, path.name)


# ---------------------------------------------------------------- what an agent is behind


def behind(venv: Any) -> dict[str, Any] | None:
    """Return the record of what changes the observations of an agent in these environments; ``None`` without any.

    Wrappers of the caller's own are not recorded, unless their class is made of one that is. What no codec stores is
    recorded so that no component holds the same.
    """
    if venv is None:
        return None
    told = [found for layer in layers(venv) if (found := _told(layer)) is not None][::-1]
    return seen_behind([name for name, _ in told], [said for _, said in told])


def _told(layer: Any) -> tuple[str, Any] | None:
    """Return the name of a wrapper and what an agent sees of it; ``None`` if that is nothing."""
    kind = next((CHANGING[name] for name in map(dotted, type(layer).__mro__) if name in CHANGING), None)
    if kind in (None, "VecTransposeImage") or (kind == NORMALIZE and not layer.norm_obs):
        return None
    if dotted(type(layer)) not in CHANGING:
        return dotted(type(layer)), None
    try:
        return kind, _seen(_step(kind, layer))
    except NotEncodable:
        return kind, None


def mark_of(steps: Iterable[Wrapper | ObservationNormalizer]) -> dict[str, Any] | None:
    """Return the record of wrappers that an agent cannot do without: its library puts a VecTransposeImage by itself."""
    told = [(_name(step), said) for step in steps if (said := _seen(step)) is not None]
    return seen_behind([name for name, _ in told], [said for _, said in told]) if told else None


def _seen(step: Wrapper | ObservationNormalizer) -> Any:
    """Return what of a wrapper an agent sees in its observations; ``None`` if that is nothing."""
    if isinstance(step, ObservationNormalizer):
        return vecnormalize.seen_of(step)
    return None if step.name == "VecTransposeImage" else dict(step.settings)


# ---------------------------------------------------------------- what there is


def wrappers_of(venv: Any) -> VecWrappers:
    """Return the wrappers of environments that change observations.

    Raises:
        NotEncodable: there are none, or one that is not known is not right around the environments.
    """
    steps: list[Wrapper | ObservationNormalizer] = []
    own: list[str] = []
    base = venv
    for layer in layers(venv):
        name = dotted(type(layer))
        if name in CHANGING:
            if own:
                raise NotEncodable(_between(own[-1], CHANGING[name], _name(steps[-1]) if steps else ""))
            steps.append(_step(CHANGING[name], layer))
            base = vars(layer)["venv"]
        elif name not in WATCHING and "venv" in vars(layer):
            own.append(name)
    if not steps and own:
        raise NotEncodable(
            f"a {own[0]} is none of {', '.join(CHANGING.values())}, and its code cannot be stored: leave it out, and "
            "put it around the environments yourself"
        )
    if not steps:
        raise NotEncodable(f"nothing in this {type(venv).__name__} changes observations: leave it out")
    space = plain_space(WrapperCodec(), base.observation_space, "the observation space of the environments")
    return VecWrappers(space, tuple(reversed(steps)), tuple(reversed(own)))


def _between(own: str, inside: str, outside: str) -> str:
    where = f"between {outside} and {inside}" if outside else f"around {inside}"
    return (
        f"a {own} stands {where}, and its code cannot be stored: put it right around the environments, where it "
        f"belongs to them, or save the {inside} in it, and put it around what wrap(venv) returns yourself"
    )


def _step(name: str, layer: Any) -> Wrapper | ObservationNormalizer:
    if name == NORMALIZE:
        return vecnormalize.normalizer_of(layer)
    if name == "VecTransposeImage":
        return Wrapper(name, {"skip": bool(layer.skip)})
    if name == "VecExtractDictObs":
        return Wrapper(name, {"key": layer.key})
    stacked = layer.stacked_obs
    parts = vars(stacked).get("sub_stacked_observations")
    order = _order(stacked) if parts is None else {key: _order(part) for key, part in parts.items()}
    return Wrapper(name, {"n_stack": int(stacked.n_stack), "channels_order": order})


def _order(stacked: Any) -> str:
    """Return where frames are put, also if that was found out from the space."""
    return "first" if stacked.channels_first else "last"


def _name(step: Wrapper | ObservationNormalizer) -> str:
    return NORMALIZE if isinstance(step, ObservationNormalizer) else step.name


def _check_around(wrappers: VecWrappers, venv: Any, codec: WrapperCodec) -> None:
    found = changing(venv)
    if found:
        raise InvalidOption(f"these environments have a {found[0]} already: give them without their wrappers")
    names = [dotted(type(layer)) for layer in layers(venv)]
    missing = [name for name in wrappers.own if name not in names]
    if missing:
        raise InvalidOption(f"those of the training had a {missing[0]} of your own: put it around these first")
    try:
        space = plain_space(codec, venv.observation_space, "the observation space of these environments")
    except NotEncodable as error:
        raise InvalidOption(str(error)) from error
    if space != wrappers.observation_space:
        saved = read_plain_space(codec, wrappers.observation_space, "the observation space")
        raise InvalidOption(f"the environments of the training give {saved}, and these give {venv.observation_space}")


# ---------------------------------------------------------------- as JSON


def _to_json(wrappers: VecWrappers) -> dict[str, Any]:
    steps = [
        {"wrapper": NORMALIZE, **vecnormalize.to_json(step)}
        if isinstance(step, ObservationNormalizer)
        else {"wrapper": step.name, **step.settings}
        for step in wrappers.steps
    ]
    return {"observation_space": wrappers.observation_space, "steps": steps, "own": list(wrappers.own)}


def _from_json(codec: WrapperCodec, record: Mapping[str, Any], what: str) -> VecWrappers:
    steps, own = field(record, "steps", list), field(record, "own", list)
    if not steps or not all(isinstance(step, dict) for step in steps) or not all(isinstance(name, str) for name in own):
        raise Corrupt(f"{what} records the wrappers {str(steps)[:60]} around {str(own)[:60]}")
    space = field(record, "observation_space", dict)
    size = flat_size(codec, read_plain_space(codec, space, "the observation space"))
    read = tuple(_read_step(step, what) for step in steps)
    for count in _frames(read):
        size *= count
    if size > MAX_ELEMENTS:
        raise Corrupt(f"{what} records frames of {size:,} numbers, more than the {MAX_ELEMENTS:,} of an observation")
    return VecWrappers(space, read, tuple(own))


def _frames(steps: tuple[Wrapper | ObservationNormalizer, ...]) -> Iterator[int]:
    return (step.settings["n_stack"] for step in steps if isinstance(step, Wrapper) and "n_stack" in step.settings)


def _read_step(record: Mapping[str, Any], what: str) -> Wrapper | ObservationNormalizer:
    name = field(record, "wrapper", str)
    if name == NORMALIZE:
        return vecnormalize.from_json(record, what)
    if name == "VecTransposeImage":
        return Wrapper(name, {"skip": field(record, "skip", bool)})
    if name == "VecExtractDictObs":
        return Wrapper(name, {"key": field(record, "key", str)})
    if name != "VecFrameStack":
        raise Corrupt(f"{what} records a wrapper {name[:40]!r}, which is not one of stable-baselines3's")
    count, order = field(record, "n_stack", int), field(record, "channels_order", str | dict)
    orders = order.values() if isinstance(order, dict) else [order]
    if type(count) is not int or count < 1 or not all(one in ("first", "last") for one in orders):
        raise Corrupt(f"{what} records {str(count)[:20]} frames in the order {str(order)[:60]}")
    return Wrapper(name, {"n_stack": count, "channels_order": order})
