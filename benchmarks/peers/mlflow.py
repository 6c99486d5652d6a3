"""MLflow: a run with its artifacts in the bucket, a registered version of it, and an alias; the rest is in SQLite."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.place import Place

MODEL, ALIAS = "btceur", "production"


class Mlflow:
    """A registry in the scratch folder of the way."""

    def __init__(self, place: Place) -> None:
        os.environ |= place.environment() | {"MLFLOW_S3_ENDPOINT_URL": place.endpoint}
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place.folder}/mlflow.db"
        import mlflow

        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        found = self._client.get_experiment_by_name(MODEL)
        self._experiment = found.experiment_id if found else self._made(place.url("mlflow"))

    def save(self, files: Sequence[Path]) -> None:
        """Log the folder of the files, register it, and name it by the alias."""
        run = self._client.create_run(self._experiment)
        self._client.log_artifacts(run.info.run_id, str(files[0].parent))
        made = self._client.create_model_version(MODEL, run.info.artifact_uri, run.info.run_id)
        self._client.set_registered_model_alias(MODEL, ALIAS, made.version)
        self._client.set_terminated(run.info.run_id)

    def load(self, target: Path) -> None:
        """Ask what the alias names, and download it."""
        target.mkdir(parents=True)
        self._mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{MODEL}@{ALIAS}", dst_path=str(target))

    def _made(self, where: str) -> str:
        with suppress(self._mlflow.MlflowException):
            self._client.create_registered_model(MODEL)
        return str(self._client.create_experiment(MODEL, artifact_location=where))


def adapter(place: Place, **_: Any) -> Mlflow:
    """Return the registry."""
    return Mlflow(place)
