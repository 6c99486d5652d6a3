"""The GRU: windows that do not leak, a training that can be repeated, and an adapter that predicts as it was trained."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from artifact_models import GRUAdapter, load_adapter
from artifact_models.gru.architecture import Architecture
from artifact_models.gru.network import GRUNetwork
from artifact_models.gru.trainer import OPTIMIZERS, GRUTrainer
from artifact_models.gru.windows import ends, stretch, windows

from artifact_store import Example, FeatureSchema, TorchState, errors
from tests.integration.models.data import (
    NAMES,
    ROWS,
    SELECTED,
    TRAIN,
    VALID,
    fitted_gru,
    new_store,
    shuffled,
    small_gru,
    table,
    target,
)

LENGTH = 5


@pytest.fixture
def store():
    return new_store()


def by_hand(adapter, frame):
    """Every step of the pipeline, written out."""
    raw = frame[NAMES].to_numpy()
    imputer, scaler = (step for _, step in adapter.preprocessor.steps)
    scaled = scaler.transform(imputer.transform(raw))
    views = np.stack([scaled[start : start + LENGTH] for start in range(len(raw) - LENGTH + 1)])
    chosen = views.astype(np.float32)[..., [NAMES.index(name) for name in SELECTED]]
    net = adapter.model
    with torch.no_grad():
        hidden, _ = net.gru(torch.from_numpy(chosen))
        return net.fc2(torch.relu(net.fc1(hidden[:, -1])))[:, 0].numpy()


class TestWindows:
    def test_each_holds_consecutive_rows(self):
        made = windows(np.arange(12).reshape(6, 2), 3)
        assert made.shape == (4, 3, 2)
        assert made[1].tolist() == [[2, 3], [4, 5], [6, 7]]

    def test_none_straddles_the_boundary(self):
        assert ends(np.arange(10), 4).tolist() == [3, 4, 5, 6, 7, 8, 9]
        assert ends(np.arange(10, 20), 4)[0] == 13

    def test_none_reaches_over_a_gap(self):
        assert ends(np.array([0, 1, 2, 5, 6, 7, 8]), 3).tolist() == [2, 7, 8]

    def test_a_set_that_is_too_short_has_none(self):
        assert ends(np.arange(3), 4).tolist() == []

    def test_the_example_stays_within_the_training_rows(self):
        assert stretch(np.array([0, 1, 4, 5, 6, 7, 9]), 3, 10) == (4, 8)
        assert stretch(np.arange(100), 3, 10) == (0, 10)


class TestTraining:
    def arrays(self):
        X = table().to_numpy()
        return (X - X[TRAIN].mean(0)) / X[TRAIN].std(0), target()

    def test_the_validation_rows_do_not_change_what_is_learnt_in_the_first_epoch(self):
        X, y = self.arrays()
        other = X.copy()
        other[VALID] += 3.0
        states = [
            GRUTrainer(sequence_length=LENGTH, hidden_size=4, epochs=1).train(x, y, TRAIN, VALID).network.state_dict()
            for x in (X, other)
        ]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_it_can_be_repeated_and_leaves_torchs_random_state_alone(self):
        X, y = self.arrays()
        before = torch.random.get_rng_state()
        first, second = (
            GRUTrainer(sequence_length=LENGTH, hidden_size=4, epochs=2, seed=3).train(X, y, TRAIN, VALID)
            for _ in range(2)
        )
        assert torch.equal(before, torch.random.get_rng_state())
        assert first.history == second.history
        states = first.network.state_dict(), second.network.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        other = GRUTrainer(sequence_length=LENGTH, hidden_size=4, epochs=2, seed=4).train(X, y, TRAIN, VALID)
        assert other.history != first.history

    def test_it_stops_early_and_keeps_the_best_state(self):
        X, y = self.arrays()
        trainer = GRUTrainer(
            sequence_length=LENGTH, hidden_size=8, epochs=60, early_stopping_patience=3, learning_rate=0.05
        )
        seen = []
        fit = trainer.train(X, y, TRAIN, VALID, progress=lambda *step: seen.append(step))
        losses = [epoch["valid_loss"] for epoch in fit.history]
        assert len(losses) == fit.best_epoch + 3 < 60
        assert losses[fit.best_epoch - 1] == min(losses)
        assert [step for step, *_ in seen] == list(range(1, len(losses) + 1))
        assert seen[-1][1:] == (60, fit.history[-1])
        matrix = windows(X.astype(np.float32), LENGTH)[VALID[LENGTH - 1 :] - LENGTH + 1]
        with torch.no_grad():
            found = fit.network(torch.from_numpy(matrix.copy()))[:, 0].numpy()
        assert np.mean((found - y[VALID[LENGTH - 1 :]].astype(np.float32)) ** 2) == pytest.approx(min(losses), rel=1e-5)

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_every_optimizer_learns(self, optimizer):
        X, y = self.arrays()
        trainer = GRUTrainer(sequence_length=LENGTH, hidden_size=4, epochs=3, optimizer=optimizer, dropout=0.0)
        losses = [epoch["train_loss"] for epoch in trainer.train(X, y, TRAIN, VALID).history]
        assert losses[-1] < losses[0]

    def test_without_validation_it_trains_to_the_end(self):
        X, y = self.arrays()
        fit = GRUTrainer(sequence_length=LENGTH, hidden_size=4, epochs=2).train(X, y, TRAIN, None)
        assert [sorted(epoch) for epoch in fit.history] == [["train_loss"]] * 2
        assert fit.valid_windows == 0

    def test_it_takes_names_and_selection_as_its_users_know_them(self):
        X, y = self.arrays()
        trainer = GRUTrainer(sequence_length=LENGTH, hidden_size=4, epochs=1)
        chosen = trainer.train(X, y, TRAIN, VALID, feature_names=NAMES, selected_features=[3, 0])
        alone = trainer.train(X[:, [3, 0]], y, TRAIN, VALID)
        assert chosen.history == alone.history
        assert (chosen.feature_names, chosen.selected_features) == (tuple(NAMES), (3, 0))
        assert chosen.architecture.input_size == 2

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y": np.zeros(3)}, "one target for each of the 160 rows"),
            ({"train_idx": []}, "nothing to train on"),
            ({"train_idx": np.arange(0, 120, 2)}, "nowhere 5 in a row"),
            ({"valid_idx": np.arange(157, 160)}, "valid_idx has 3 rows, and nowhere 5"),
            ({"valid_idx": np.arange(100, 160)}, "20 rows are in train_idx and in valid_idx"),
            ({"valid_idx": [-1]}, "from 0 to 159"),
            ({"train_idx": [1, 1]}, "twice"),
            ({"feature_names": NAMES[:3]}, "3 names, and X has 6 columns"),
            ({"selected_features": [6]}, "from 0 to 5"),
            ({"X": table().mask(table() == table().loc[7, "rsi"]).to_numpy()}, "hold NaN"),
            ({"X": table().to_numpy() * 1e60}, "what float32 cannot hold"),
            ({"y": np.where(np.arange(ROWS) == 50, np.nan, 1.0)}, "y holds NaN"),
        ],
    )
    def test_data_that_does_not_fit_is_refused(self, change, message):
        X, y = self.arrays()
        given = {"X": X, "y": y, "train_idx": TRAIN, "valid_idx": VALID, **change}
        options = {name: given.pop(name) for name in ("feature_names", "selected_features") if name in given}
        with pytest.raises(errors.InvalidInput, match=message):
            GRUTrainer(sequence_length=LENGTH, epochs=1).train(**given, **options)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [("sequence_length", 0), ("dropout", 1.0), ("learning_rate", 0), ("optimizer", "Adan"), ("objective", "rank")],
    )
    def test_a_setting_that_means_nothing_is_refused(self, setting, value):
        with pytest.raises(errors.InvalidOption, match=setting):
            GRUTrainer(**{setting: value})

    def test_a_setting_that_does_not_exist_is_refused(self):
        with pytest.raises(errors.InvalidOption, match="no setting 'hiden_size' .did you mean 'hidden_size'"):
            GRUAdapter(hiden_size=3)

    def test_a_loss_that_is_no_number_is_an_error_and_not_a_model(self):
        X, y = self.arrays()
        trainer = GRUTrainer(sequence_length=LENGTH, hidden_size=4, epochs=30, optimizer="SGD", learning_rate=1e30)
        with pytest.raises(errors.InvalidInput, match="lower learning_rate"):
            trainer.train(X, y, TRAIN, VALID)


class TestPredicting:
    def test_a_raw_frame_goes_through_the_steps_of_training(self):
        adapter = fitted_gru()
        frame = shuffled(table())
        found = adapter.predict(frame)
        assert found.shape == (ROWS - LENGTH + 1,)
        assert np.abs(found - by_hand(adapter, frame)).max() <= 1e-6

    def test_scaler_and_imputer_saw_the_training_rows_only_and_all_columns(self):
        imputer, scaler = (step for _, step in fitted_gru().preprocessor.steps)
        assert scaler.n_features_in_ == len(NAMES)
        np.testing.assert_array_equal(imputer.statistics_, table().to_numpy()[TRAIN].mean(axis=0))
        np.testing.assert_allclose(scaler.mean_, table().to_numpy()[TRAIN].mean(axis=0), rtol=1e-12)

    def test_an_array_with_a_selection_is_trained_on_as_the_table_is(self):
        adapter = small_gru(feature_names=NAMES).fit(table().to_numpy(), target(), TRAIN, VALID)
        assert adapter.preprocessor.steps[-1][1].n_features_in_ == len(NAMES)
        np.testing.assert_array_equal(adapter.predict(shuffled(table())), fitted_gru().predict(table()))

    @pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas, lambda frame: frame.to_numpy()])
    def test_every_kind_of_rows_gives_the_same(self, convert):
        np.testing.assert_array_equal(fitted_gru().predict(convert(table())), fitted_gru().predict(table()))

    def test_ready_windows_give_one_prediction_each(self):
        raw = np.ascontiguousarray(windows(table().to_numpy(), LENGTH))
        found = fitted_gru().predict(raw)
        assert np.abs(found - fitted_gru().predict(table())).max() <= 1e-6
        assert fitted_gru().predict(raw[:1]).shape == (1,)

    def test_windows_of_the_selection_are_taken_as_preprocessed_if_one_says_so(self):
        adapter = fitted_gru()
        scaled = adapter.preprocessor.transform(table().to_numpy())[:, list(adapter.features.selected)]
        ready = windows(scaled, LENGTH)
        assert np.abs(adapter.predict(ready, preselected=True) - adapter.predict(table())).max() <= 1e-6
        assert np.abs(adapter.predict(scaled, preselected=True) - adapter.predict(table())).max() <= 1e-6
        with pytest.raises(errors.FeatureMismatch, match="or the 3 selected, with preselected=True.; got 3"):
            adapter.predict(ready)

    def test_rows_before_and_behind_do_not_matter(self):
        adapter = fitted_gru()
        assert np.abs(adapter.predict(table().iloc[40:50]) - adapter.predict(table())[40:46]).max() <= 1e-6

    def test_holes_are_imputed_as_in_training(self):
        adapter = fitted_gru()
        frame = table()
        frame.loc[30, "rsi"] = np.nan
        filled = table()
        filled.loc[30, "rsi"] = table()["rsi"][TRAIN].mean()
        assert np.abs(adapter.predict(frame) - adapter.predict(filled)).max() <= 1e-6

    @pytest.mark.parametrize(
        "rows", [table().iloc[: LENGTH - 1], table().to_numpy()[:LENGTH, :][:1], table().to_numpy()[0]]
    )
    def test_fewer_rows_than_a_window_takes_are_refused(self, rows):
        with pytest.raises(errors.FeatureMismatch, match=r"takes windows of 5 rows .*; got "):
            fitted_gru().predict(rows)

    @pytest.mark.parametrize("length", [LENGTH - 1, LENGTH + 1])
    def test_windows_of_another_length_are_refused(self, length):
        with pytest.raises(errors.FeatureMismatch, match=f"windows of {length} rows"):
            fitted_gru().predict(np.zeros((3, length, len(NAMES))))

    def test_numbers_beyond_float32_are_refused(self):
        adapter = small_gru(scaler=None, imputer=None, epochs=1).fit(table(), target(), TRAIN, VALID)
        with pytest.raises(errors.FeatureMismatch, match="beyond what float32"):
            adapter.predict(table() * 1e60)

    def test_a_binary_one_gives_labels_and_probabilities(self, store):
        y = (target() > np.median(target())).astype(int)
        adapter = small_gru(objective="binary").fit(table(), y, TRAIN, VALID)
        adapter.save(store, symbol="BTCEUR")
        loaded = GRUAdapter.load("gru/BTCEUR", store=store)
        proba = loaded.predict_proba(table())
        assert proba.shape == (ROWS - LENGTH + 1, 2)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        np.testing.assert_array_equal(loaded.predict(table()), (proba[:, 1] >= 0.5).astype(int))
        np.testing.assert_array_equal(proba, adapter.predict_proba(table()))
        assert store.verify(predict=True).ok

    def test_a_regression_has_no_probabilities(self):
        with pytest.raises(errors.InvalidOption, match="no probabilities"):
            fitted_gru().predict_proba(table())

    def test_binary_targets_are_0_and_1(self):
        with pytest.raises(errors.InvalidInput, match="takes 0 and 1"):
            small_gru(objective="binary").fit(table(), np.sign(target()), TRAIN, VALID)


class TestFitting:
    def test_a_failed_fit_leaves_the_adapter_as_it_was(self):
        adapter = small_gru().fit(table(), target(), TRAIN, VALID)
        before = adapter.predict(table())
        with pytest.raises(errors.InvalidInput):
            adapter.fit(table()[["close"]], target(), TRAIN, VALID)
        np.testing.assert_array_equal(adapter.predict(table()), before)

    def test_rows_with_holes_outside_of_the_training_do_no_harm(self, store):
        frame = table()
        frame.loc[:3, "rsi"] = np.nan
        adapter = small_gru(scaler="standard", imputer=None, epochs=1)
        adapter.fit(frame, target(), np.arange(4, 120), VALID)
        adapter.save(store)
        assert store.verify("gru", predict=True).ok

    def test_text_is_refused(self):
        with pytest.raises(errors.InvalidInput, match="takes numbers, and .'word'. hold text"):
            small_gru().fit(table().assign(word="x"), target(), TRAIN, VALID)

    def test_a_column_without_a_single_number_is_refused_by_name(self):
        with pytest.raises(errors.InvalidInput, match="'empty'. hold no number"):
            small_gru().fit(table().assign(empty=np.nan), target(), TRAIN, VALID)

    def test_what_was_passed_stays_as_it_is(self):
        frame, y = table(), target()
        small_gru(epochs=1).fit(frame, y, TRAIN, VALID)
        pd.testing.assert_frame_equal(frame, table())
        np.testing.assert_array_equal(y, target())

    @pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", None])
    @pytest.mark.parametrize("imputer", ["mean", "median", "most_frequent", None])
    def test_every_scaling_survives_the_store(self, scaler, imputer, store):
        adapter = small_gru(scaler=scaler, imputer=imputer, epochs=1).fit(table(), target(), TRAIN, VALID)
        adapter.save(store, symbol="BTCEUR")
        loaded = load_adapter(store.get("gru/BTCEUR"))
        np.testing.assert_array_equal(loaded.predict(table()), adapter.predict(table()))

    def test_feature_names_choose_columns_of_a_table_that_has_others(self):
        adapter = GRUAdapter(feature_names=["rsi", "close"], sequence_length=LENGTH, hidden_size=4, epochs=1)
        adapter.fit(table().assign(word="x"), target(), TRAIN, VALID)
        assert adapter.feature_names == ["rsi", "close"]
        assert adapter.selected_features is None


class TestTheStoredState:
    def test_it_is_equal_bit_for_bit(self, store):
        adapter = fitted_gru()
        adapter.save(store, symbol="BTCEUR")
        stored, own = store.load("gru/BTCEUR").state, adapter.model.state_dict()
        assert list(stored) == list(own)
        assert all(torch.equal(stored[name], own[name]) for name in own)

    def test_its_shapes_are_the_architecture(self):
        for sizes in (Architecture(3, 4, 1, 5, 1), Architecture(7, 2, 3, 2, 2)):
            assert Architecture.of(GRUNetwork(sizes).state_dict()) == sizes

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda state: state.pop("fc2.bias"),
            lambda state: state.update({"fc3.weight": torch.zeros(1, 1)}),
            lambda state: state.update({"gru.weight_ih_l0_reverse": torch.zeros(12, 3)}),
            lambda state: state.update({"fc1.weight": torch.zeros(5, 9)}),
            lambda state: state.update({"fc1.weight": torch.zeros(5)}),
            lambda state: state.clear(),
        ],
    )
    def test_the_state_of_another_network_is_refused(self, spoil, store):
        state = GRUNetwork(Architecture(3, 4, 1, 5, 1)).state_dict()
        spoil(state)
        run = store.save(TorchState(state or {"w": torch.zeros(1)}), "gru/X", config={"sequence_length": 5})
        with pytest.raises(errors.Corrupt, match="GRU"):
            load_adapter(run)

    def test_a_config_that_lies_about_the_sizes_does_no_harm(self, store):
        net = GRUNetwork(Architecture(3, 4, 1, 5, 1))
        run = store.save(TorchState(net.state_dict()), "gru/X", config={"sequence_length": 5, "hidden_size": 99})
        assert load_adapter(run).predict(np.zeros((6, 3))).shape == (2,)

    def test_a_run_without_a_sequence_length_says_so(self, store):
        run = store.save(GRUNetwork(Architecture(3, 4, 1, 5, 1)), "gru/X")
        with pytest.raises(errors.Corrupt, match="sequence_length"):
            load_adapter(run).predict(np.zeros((6, 3)))

    def test_a_plain_save_of_a_network_verifies_with_windows_of_the_selection(self, store):
        net = GRUNetwork(Architecture(2, 4, 1, 5, 1)).eval()
        ready = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
        with torch.no_grad():
            outputs = net(torch.from_numpy(ready))[:, 0].numpy()
        run = store.save(
            TorchState(net.state_dict(), {"sequence_length": 5}),
            "gru/X",
            features=FeatureSchema(["a", "b", "c"], selected=["c", "a"], nan="refuse", inf="refuse"),
            example=Example(ready, outputs),
        )
        assert run.verify(predict=True).ok


class TestResuming:
    """A training goes on from a run to what one training of all epochs gives, bit for bit."""

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_in_two_parts_it_comes_to_what_it_comes_to_at_once(self, store, optimizer):
        usual = {"optimizer": optimizer, "num_layers": 2, "dropout": 0.3, "learning_rate": 0.01}
        whole = trained(epochs=5, **usual)
        run = store.get(_saved(trained(epochs=2, **usual), store))
        resumed = GRUAdapter.load(run).resume(table(), target(), TRAIN, VALID, epochs=3)
        assert _same(resumed.model.state_dict(), whole.model.state_dict())
        assert resumed.metrics == whole.metrics
        assert resumed.training_config == whole.training_config
        again = store.get(_saved(resumed, store))
        assert np.array_equal(load_adapter(again).predict(table()), whole.predict(table()))
        further = GRUAdapter.load(again).resume(table(), target(), TRAIN, VALID, epochs=1)
        assert further.training_config["epochs_trained"] == 6

    def test_without_saving_in_between_it_is_the_same(self):
        resumed = trained(epochs=2).resume(table(), target(), TRAIN, VALID, epochs=2)
        assert _same(resumed.model.state_dict(), trained(epochs=4).model.state_dict())

    def test_the_best_epoch_of_all_is_kept(self):
        first = trained(epochs=3)
        kept, loss = first.model.state_dict(), first.metrics["valid_loss"]
        worse = first.resume(table(), -100 * target(), TRAIN, VALID, epochs=1)
        assert worse.metrics["valid_loss"] == loss
        assert _same(worse.model.state_dict(), kept)

    def test_random_numbers_of_the_caller_are_as_before(self):
        adapter = trained(epochs=1)
        torch.manual_seed(3)
        wanted = torch.rand(4)
        torch.manual_seed(3)
        adapter.resume(table(), target(), TRAIN, VALID, epochs=1)
        assert torch.equal(torch.rand(4), wanted)

    def test_where_it_stood_is_read_for_nothing_else(self, store):
        run = store.get(_saved(trained(epochs=1), store))
        assert "training" in run.components
        assert "training" not in run.requires
        loaded = GRUAdapter.load(run)
        loaded.predict(table())
        assert loaded._checkpoint is None
        assert "training" in store.get(_saved(loaded, store)).components

    def test_a_run_that_does_not_say_where_it_stood_is_told(self, store):
        adapter = trained(epochs=1)
        adapter._checkpoint = None
        with pytest.raises(errors.ComponentNotFound, match="cannot be resumed"):
            adapter.resume(table(), target(), TRAIN, VALID, epochs=1)
        with pytest.raises(errors.InvalidOption, match="fit it, or load a run"):
            GRUAdapter().resume(table(), target(), TRAIN, VALID, epochs=1)

    @pytest.mark.parametrize("epochs", [0, -1, 1.5, True, None])
    def test_epochs_are_a_whole_number(self, epochs):
        with pytest.raises(errors.InvalidOption, match="epochs"):
            trained(epochs=1).resume(table(), target(), TRAIN, VALID, epochs=epochs)

    @pytest.mark.parametrize("part", ["network", "optimizer", "random", "history", "best"])
    @pytest.mark.parametrize("value", [None, {}, 3, "missing"])
    def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(self, part, value):
        adapter = trained(epochs=1)
        before = dict(adapter.model.state_dict())
        adapter._checkpoint = {**adapter._checkpoint, part: value}
        if value == "missing":
            del adapter._checkpoint[part]
        with pytest.raises(errors.Corrupt, match="not where a training of this network stood"):
            adapter.resume(table(), target(), TRAIN, VALID, epochs=1)
        assert _same(adapter.model.state_dict(), before)


def _saved(adapter, store):
    adapter.save(store, symbol="BTCEUR")
    return adapter.run.ref


def _same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(**changes):
    return small_gru(**changes).fit(table(), target(), TRAIN, VALID)
