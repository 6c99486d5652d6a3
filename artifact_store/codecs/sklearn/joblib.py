"""Anything at all, as a joblib pickle in ``{stem}.joblib``: for what no other codec holds, and files of your own only.

Reading it back runs whatever the file says, so this codec is never chosen by type: a save has to name it, and a load
has to say that it trusts the writer (``allow_code=True``) or the very file (``sha256=``). A pickle is bound to the
versions of all libraries in it, and equal objects need not give equal bytes. The one module that imports joblib.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import all_or_nothing, dotted, import_library, refuse_into
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import CodecUnavailable, Corrupt, NotEncodable

_WAY_OUT: Final = (
    "Give functions a name in a module that readers can import (a lambda has none), and leave out locks, open files "
    "and connections"
)


class JoblibCodec:
    """Store any object that can be pickled in ``{stem}.joblib``; one file, so that its sha256 can be pinned."""

    name: ClassVar[str] = "joblib"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.CODE
    types: ClassVar[tuple[str, ...]] = ("sklearn.base.BaseEstimator",)
    """What it is mostly named for. Since its risk is code it is never chosen, and may be named for anything."""
    extra: ClassVar[str | None] = "joblib"
    libraries: ClassVar[tuple[str, ...]] = ("joblib", "numpy")
    deterministic: ClassVar[bool] = False
    """A pickle depends on which parts of an object are one and the same."""

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the pickle; refuse what cannot be pickled."""
        joblib = import_library("joblib", self)
        with all_or_nothing(directory, stem):
            try:
                joblib.dump(obj, directory / f"{stem}.joblib")
            except OSError:
                raise  # of the disk
            except Exception as error:  # PicklingError, and whatever any object says instead
                raise NotEncodable(f"a {dotted(type(obj))} cannot be pickled: {error}. {_WAY_OUT}") from error
        return {"joblib": joblib.__version__}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the pickle, which can run anything; whether it may was decided before.

        Raises:
            Corrupt: it is damaged, or the libraries in it have changed.
            CodecUnavailable: joblib, or a module that the object needs, is not installed, or was no module but the
                program that saved it.
        """
        refuse_into(self, into)
        joblib = import_library("joblib", self)
        path = directory / f"{stem}.joblib"
        if not path.is_file():
            raise Corrupt(f"{path.name} is missing: the run is not whole")
        try:
            return joblib.load(path)
        except ImportError as error:
            raise CodecUnavailable(f"{path.name} needs something that is not installed here: {error}") from error
        except Exception as error:  # a pickle can raise anything
            if isinstance(error, AttributeError) and "__main__" in str(error):
                raise CodecUnavailable(
                    f"{path.name} needs something of the program that saved it ({error}): define that in a module "
                    "which both programs import, and save it again"
                ) from error
            raise Corrupt(
                f"{path.name} cannot be unpickled ({type(error).__name__}: {error}); it was written with joblib "
                f"{str(options.get('joblib'))[:40]}: compare the environment of the run with this one"
            ) from error
