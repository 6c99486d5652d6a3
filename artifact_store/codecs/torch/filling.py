"""Filling a module that the caller made: with exactly what was saved, or not at all.

Names are not all: names of one module can share memory (a tied weight, a module registered twice, a view), and what is
copied to one of them is then written over another one's. So their saved values have to agree.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from artifact_store.codecs.files import dotted
from artifact_store.codecs.torch.tensors import overlapping, span, view_of
from artifact_store.errors import InvalidOption

_SHOWN = 20
_ALIGNED = 16
"""Bytes; no element of a tensor is larger."""

_WRAPPERS: Final = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
}
"""Modules that add nothing to what another one computes, and where they keep that one."""
_PREFIXES: Final = frozenset({"_orig_mod", "module"})
_PARAMETRIZED: Final = "parametrizations"
_ORIGINAL: Final = "original"
_WEIGHT_NORM: Final = "torch.nn.utils.parametrizations._WeightNorm"
_AVERAGED = "n_averaged"
"""What an ``AveragedModel`` has beside the module that it averages."""


def layers_of(module: Any) -> list[Any]:
    """Return a module, the one that it wraps, if it is a wrapper and no more, and so on."""
    layers = [module]
    while inner := _WRAPPERS.get(dotted(type(layers[-1]))):
        layers.append(getattr(layers[-1], inner))
    return layers


def fill(module: Any, state: Mapping[str, Any], torch: Any) -> None:
    """Load into a module, or into what it wraps, exactly the tensors that were saved.

    Raises:
        InvalidOption: it has other tensors, or some that share memory and would differ; it is as it was. Or its own
            ``load_state_dict`` refuses them.
    """
    layers = layers_of(module)
    target = next((layer for layer in layers if layer.state_dict().keys() == state.keys()), layers[-1])
    own = target.state_dict()
    state = _with_weight_norm(target, own, state)
    problems = differences(own, state)
    if problems:
        otherwise = _wrapped(own, state) or _newer_norm(own, state)
        raise InvalidOption(f"into= does not fit what was saved: {'; '.join(problems)}. Nothing was loaded{otherwise}")
    lost = [group for group in _sharing(own) if not _agree(group, own, state, torch)]
    if lost:
        names = "; ".join(_listed(group, " and ") for group in lost[:_SHOWN])
        raise InvalidOption(
            f"into= has names that share memory, for which different values were saved: {names}. One would be written "
            "over another, so nothing was loaded: make the module without these ties (clone() what is shared), or load "
            "the TorchState without into= and choose the values"
        )
    try:
        target.load_state_dict(_with_expanded(target, own, state, torch), strict=True)
    except RuntimeError as error:
        raise InvalidOption(
            f"load_state_dict of the module that is to be filled refuses what was saved: {error}. It may be filled in "
            "part, so make it anew"
        ) from error


def differences(own: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """Return in words how the tensors of a module differ from those that were saved, or nothing."""
    unlike = [
        f"{name} is {_form(own[name])} here and {_form(tensor)} as saved"
        for name, tensor in saved.items()
        if name in own and _form(own[name]) != _form(tensor)
    ]
    found = {
        "missing (in the module, not saved)": [name for name in own if name not in saved],
        "unexpected (saved, not in the module)": [name for name in saved if name not in own],
        "other shape or dtype": unlike,
    }
    return [f"{what}: {_listed(names)}" for what, names in found.items() if names]


def _form(tensor: Any) -> str:
    if hasattr(tensor, "materialize"):  # of a lazy module, before its first input
        return "not initialised"
    shape, dtype = getattr(tensor, "shape", None), getattr(tensor, "dtype", None)
    if shape is None or dtype is None:  # what get_extra_state returns
        return f"a {type(tensor).__qualname__}"
    layout = str(tensor.layout).removeprefix("torch.")
    kind = "meta " if tensor.is_meta else "" if layout == "strided" else f"{layout} "
    return f"{kind}{str(dtype).removeprefix('torch.')}{list(shape)}"


def _listed(names: list[str], between: str = ", ") -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return between.join(names[:_SHOWN]) + rest


def _wrapped(own: Iterable[str], saved: Iterable[str]) -> str:
    """Return what to do if only a wrapper makes the difference between two sets of names."""
    if set(own) == set(saved) or _bare(own) != _bare(saved):
        return ""
    return (
        ". The names differ by 'module.' or '_orig_mod.' alone, which AveragedModel, DataParallel and torch.compile "
        "put into them: wrap into= in the same way, or load the TorchState without into=, rename its tensors, and give "
        "them to load_state_dict"
    )


def _bare(names: Iterable[str]) -> set[str]:
    return {".".join(part for part in name.split(".") if part not in _PREFIXES) for name in names} - {_AVERAGED}


# ---------------------------------------------------------------- weight normalisation


def _with_weight_norm(target: Any, own: Mapping[str, Any], state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a state in which weights that were normalised by the older ``weight_norm`` have the names of the newer.

    Both are the same two tensors and the same arithmetic; torch's own ``load_state_dict`` takes the one for the other.
    """
    names = {name: today for name in state if name not in own and (today := _normed_today(name)) in own}
    names = {name: today for name, today in names.items() if _is_normed(target, today)}
    if not names:
        return state
    renamed: Any = copy.copy(state)  # with the versions of the modules
    for name in state:  # all, so that they stay in their order
        renamed[names.get(name, name)] = renamed.pop(name)
    return renamed  # type: ignore[no-any-return]


def _normed_today(name: str) -> str:
    """Return ``a.parametrizations.weight.original0`` for ``a.weight_g``, and 1 for ``v``; or nothing."""
    path, dot, last = name.rpartition(".")
    place = {"_g": 0, "_v": 1}.get(last[-2:])
    return "" if place is None else f"{path}{dot}{_PARAMETRIZED}.{last[:-2]}.{_ORIGINAL}{place}"


def _is_normed(target: Any, name: str) -> bool:
    layers = target.get_submodule(name.rpartition(".")[0])
    return len(layers) == 1 and dotted(type(layers[0])) == _WEIGHT_NORM


def _newer_norm(own: Mapping[str, Any], saved: Mapping[str, Any]) -> str:
    """Return what to do if a module has the older form of weight normalisation, and the newer was saved."""
    if not any(_normed_today(name) in saved for name in own):
        return ""
    return ". Saved is the newer form of weight_norm: make into= with torch.nn.utils.parametrizations.weight_norm"


# ---------------------------------------------------------------- memory that is shared


def _sharing(own: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the names of tensors that share memory, and each one whose own elements do."""
    groups = overlapping(own)
    together = {name for group in groups for name in group}
    yield from groups
    yield from ([name] for name, tensor in own.items() if name not in together and _overlaps_itself(tensor))


def _overlaps_itself(tensor: Any) -> bool:
    """Tell whether two elements may be the same memory: always where they are, and rarely where they are not."""
    reach = 1
    for step, side in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if side > 1 and step < reach:
            return bool(tensor.numel())
        reach += (side - 1) * step
    return False


def _agree(names: list[str], own: Mapping[str, Any], saved: Mapping[str, Any], torch: Any) -> bool:
    """Tell whether each name would have its saved values after all of them were copied to their places."""
    if len({view_of(own[name]) for name in names}) == 1 and not _overlaps_itself(own[names[0]]):
        return all(_same_bits(saved[name], saved[names[0]], torch) for name in names)
    first = min(span(own[name])[0] for name in names) // _ALIGNED * _ALIGNED
    last = max(span(own[name])[1] for name in names)
    memory = torch.zeros(last - first, dtype=torch.uint8)
    places = {name: _place(memory, own[name], span(own[name])[0] - first) for name in names}
    for name, place in places.items():
        _once(place).copy_(_once(saved[name], like=place))
    return all(_same_bits(place, saved[name], torch) for name, place in places.items())


def _place(memory: Any, tensor: Any, offset: int) -> Any:
    """Return in other memory the view that a tensor is in its own."""
    size = span(tensor)[1] - span(tensor)[0]
    place = memory[offset : offset + size].view(tensor.dtype).as_strided(tensor.shape, tensor.stride(), None)
    place = place.conj() if tensor.is_conj() else place
    return place._neg_view() if tensor.is_neg() else place  # noqa: SLF001 -- it has no public name


def _once(tensor: Any, like: Any = None) -> Any:
    """Return the part of a tensor without the sides along which (in ``like``) all elements are the same memory."""
    for side, step in enumerate((tensor if like is None else like).stride()):
        if step == 0 and tensor.shape[side] > 1:
            tensor = tensor.narrow(side, 0, 1)
    return tensor


def _same_bits(one: Any, other: Any, torch: Any) -> bool:
    return bool(torch.equal(_bits(one, torch), _bits(other, torch)))


def _bits(tensor: Any, torch: Any) -> Any:
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def _with_expanded(target: Any, own: Mapping[str, Any], state: Mapping[str, Any], torch: Any) -> Mapping[str, Any]:
    """Fill the tensors of which torch copies nothing to, since elements of theirs are the same memory.

    In the state dict that is returned they stand for themselves, and copying a tensor to itself does nothing.
    """
    expanded = [name for name, tensor in own.items() if tensor.numel() and _once(tensor).shape != tensor.shape]
    if not expanded:
        return state
    itself = target.state_dict(keep_vars=True)
    whole: Any = copy.copy(state)  # with the versions of the modules
    with torch.no_grad():
        for name in expanded:
            _once(own[name]).copy_(_once(state[name], like=own[name]))
            whole[name] = itself[name]
    return whole  # type: ignore[no-any-return]
