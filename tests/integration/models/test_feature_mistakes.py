"""The mistakes that the libraries do not catch. Each is shown with the library alone, and then with the adapter.

The library is given what a program without a schema would give it: the values of a frame, in the order in which they
stand. Where it stays silent and says something else than for the right input, the adapter has to raise, or to say
what is right.
"""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
from artifact_models import LightGBMAdapter, PPOAdapter, load_adapter
from artifact_models.gru.windows import windows
from artifact_models.trading.market import Market

from artifact_store import FeatureSchema, TorchState, errors
from tests.integration.models.data import (
    NAMES,
    ROWS,
    TRAIN,
    VALID,
    fitted_session_trees,
    new_store,
    small_gru,
    small_trees,
    table,
    target,
    with_session,
)
from tests.integration.models.market_data import make_candles

pytestmark = pytest.mark.xdist_group("test_feature_mistakes")  # its fixtures take long

LENGTH = 5


@pytest.fixture(scope="module")
def trees():
    return loaded(small_trees(selected_features=None).fit(table(), target(), TRAIN, VALID))


@pytest.fixture(scope="module")
def session_trees():
    return loaded(fitted_session_trees())


@pytest.fixture(scope="module")
def gru():
    return loaded(small_gru(selected_features=None, epochs=8).fit(table(), target(), TRAIN, VALID))


@pytest.fixture(scope="module")
def on_thresholds():
    """A model that was trained on float32, and float64 rows that lie exactly on its thresholds."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"price": rng.random(1000).astype("float32")})
    adapter = LightGBMAdapter(n_estimators=20, num_leaves=255, min_data_in_leaf=1, num_threads=1)
    adapter = loaded(adapter.fit(X, rng.random(1000), np.arange(1000), None))
    thresholds = adapter.model.trees_to_dataframe()["threshold"].dropna().unique()
    return adapter, pd.DataFrame({"price": thresholds.astype("float64")})


def loaded(adapter):
    """The adapter as a trader has it: out of a store."""
    store = new_store()
    adapter.save(store, symbol="BTCEUR")
    return load_adapter(store.get(f"{adapter.model_type}/BTCEUR"))


def lightgbm_alone(adapter, X):
    return adapter.model.predict(X)


def torch_alone(adapter, X, *, scaled=True):
    """The network on the values as they stand, through the arrays of the scaler."""
    values = np.asarray(X, dtype=np.float64)
    if scaled:
        values = adapter.preprocessor.transform(values)
    with torch.inference_mode():
        ready = torch.from_numpy(np.ascontiguousarray(windows(values.astype(np.float32), LENGTH)))
        return adapter.model(ready)[:, 0].numpy()


def silent_and_wrong(found, right):
    """The library raised nothing, and what it says is something else."""
    return found.shape == right.shape and not np.allclose(found, right)


@pytest.fixture(params=["lightgbm", "torch"])
def family(request):
    """An adapter and the bare library, for mistakes that both make."""
    alone = {"lightgbm": lightgbm_alone, "torch": torch_alone}[request.param]
    adapter = request.getfixturevalue({"lightgbm": "trees", "torch": "gru"}[request.param])
    return adapter, alone


class TestColumns:
    def test_reordered_columns_of_a_frame_are_put_right(self, family):
        adapter, alone = family
        right, wrong = adapter.predict(table()), table()[NAMES[::-1]]
        assert silent_and_wrong(alone(adapter, wrong), right)
        np.testing.assert_array_equal(adapter.predict(wrong), right)

    def test_a_renamed_column_is_named_with_a_suggestion(self, family):
        adapter, alone = family
        wrong = table().rename(columns={"close": "Close"})
        assert np.allclose(alone(adapter, wrong), adapter.predict(table()))  # nobody looks at names
        with pytest.raises(errors.FeatureMismatch, match=r"'close' \(did you mean 'Close'\?\)") as caught:
            adapter.predict(wrong)
        assert (caught.value.missing, caught.value.suggestions) == (("close",), {"close": "Close"})

    def test_columns_renamed_in_a_circle_are_followed_by_name(self, family):
        adapter, alone = family
        wrong = table().rename(columns={"close": "low", "low": "close"})
        assert np.allclose(alone(adapter, wrong), adapter.predict(table()))
        swapped = table().assign(close=table()["low"], low=table()["close"])
        np.testing.assert_array_equal(adapter.predict(wrong), adapter.predict(swapped))

    def test_a_duplicated_column_in_the_place_of_another_is_refused(self, family):
        adapter, alone = family
        wrong = table().set_axis(["open", "high", "low", "close", "close", "rsi"], axis=1)
        assert alone(adapter, wrong).shape == adapter.predict(table()).shape
        with pytest.raises(errors.FeatureMismatch, match="more than once: 'close'") as caught:
            adapter.predict(wrong)
        assert caught.value.duplicate == ("close",)

    def test_one_missing_and_one_extra_are_refused_though_the_number_agrees(self, family):
        adapter, alone = family
        wrong = table().drop(columns="volume").assign(turnover=1.0)
        assert silent_and_wrong(alone(adapter, wrong), adapter.predict(table()))
        with pytest.raises(errors.FeatureMismatch, match="'volume'") as caught:
            adapter.predict(wrong)
        assert (caught.value.missing, caught.value.extra) == (("volume",), ("turnover",))

    def test_extra_columns_do_no_harm(self, family):
        adapter, _ = family
        wider = pd.concat([table().add_prefix("old_"), table()], axis=1)
        np.testing.assert_array_equal(adapter.predict(wider), adapter.predict(table()))

    def test_a_column_of_text_is_refused(self, family):
        adapter, _ = family
        with pytest.raises(errors.FeatureMismatch, match="'rsi'") as caught:
            adapter.predict(table().assign(rsi="high"))
        assert "rsi" in caught.value.dtype


class TestArrays:
    def test_a_reordered_array_cannot_be_seen_so_names_are_taken_where_there_are_some(self, family):
        adapter, alone = family
        right, wrong = adapter.predict(table()), table()[NAMES[::-1]]
        assert silent_and_wrong(alone(adapter, wrong.to_numpy()), right)
        assert silent_and_wrong(adapter.predict(wrong.to_numpy()), right)  # stated, not hidden: an array has no names
        np.testing.assert_array_equal(adapter.predict(wrong), right)

    @pytest.mark.parametrize("fit", [small_trees, small_gru])
    def test_50_columns_for_a_model_of_114_are_refused_with_both_numbers(self, fit):
        rng = np.random.default_rng(0)
        names = [f"x{place}" for place in range(114)]
        X = pd.DataFrame(rng.normal(size=(ROWS, 114)), columns=names)
        adapter = fit(selected_features=[3, 14, 15, 92, 65]).fit(X, target(), TRAIN, VALID)
        said = r"expected 114 features \(or the 5 selected, with preselected=True\); got 50"
        with pytest.raises(errors.FeatureMismatch, match=said):
            adapter.predict(X.to_numpy()[:, :50])
        with pytest.raises(errors.FeatureMismatch, match="64 of 114 features are missing"):
            adapter.predict(X.iloc[:, :50])
        with pytest.raises(errors.FeatureMismatch, match="expected the 5 selected features"):
            adapter.predict(X.to_numpy()[:, :50], preselected=True)

    @pytest.mark.parametrize("fit", [small_trees, small_gru])
    def test_an_array_as_wide_as_the_selection_is_not_guessed_at(self, fit):
        adapter = fit(selected_features=["rsi", "open"]).fit(table(), target(), TRAIN, VALID)
        with pytest.raises(errors.FeatureMismatch, match="preselected=True"):
            adapter.predict(table()[["rsi", "open"]].to_numpy())

    def test_another_width_is_refused_before_the_library_sees_it(self, family):
        adapter, _ = family
        for width in (len(NAMES) - 1, len(NAMES) + 1):
            with pytest.raises(errors.FeatureMismatch, match=f"expected 6 features; got {width}"):
                adapter.predict(np.zeros((ROWS, width)))


class TestHoles:
    def test_torch_predicts_nan_from_nan_and_a_gru_without_imputer_refuses_it_by_name_and_row(self):
        adapter = small_gru(selected_features=["rsi", "open"], imputer=None, epochs=1)
        adapter = loaded(adapter.fit(table(), target(), TRAIN, VALID))
        holed = table()
        holed.loc[100, "rsi"] = np.nan
        ready = adapter.preprocessor.transform(holed.to_numpy())[:, [NAMES.index("rsi"), NAMES.index("open")]]
        assert np.isnan(torch_alone(adapter, ready, scaled=False)).sum() == LENGTH
        said = "'rsi' holds NaN or a missing value in 1 of 160 rows .first in row 100"
        with pytest.raises(errors.FeatureMismatch, match=said):
            adapter.predict(holed)

    def test_a_hole_in_a_column_that_is_not_selected_does_no_harm(self):
        adapter = small_gru(selected_features=["rsi", "open"], imputer=None, epochs=1)
        adapter.fit(table(), target(), TRAIN, VALID)
        unused = table()
        unused.loc[100, "volume"] = np.nan
        np.testing.assert_array_equal(adapter.predict(unused), adapter.predict(table()))

    def test_a_gru_with_imputer_fills_it_as_in_training(self, gru):
        holed = table()
        holed.loc[100, "rsi"] = np.nan
        filled = table()
        filled.loc[100, "rsi"] = table()["rsi"][TRAIN].mean()
        assert np.abs(gru.predict(holed) - gru.predict(filled)).max() <= 1e-6

    def test_an_infinity_is_refused_with_a_preprocessor_and_without(self, gru):
        endless = table()
        endless.loc[100, "rsi"] = np.inf
        with pytest.raises(errors.InvalidInput, match="infinity"):
            gru.predict(endless)
        with pytest.raises(errors.FeatureMismatch, match="'rsi' holds an infinity in 1 of 160 rows"):
            small_gru(scaler=None, imputer=None, epochs=1).fit(table(), target(), TRAIN, VALID).predict(endless)

    def test_lightgbm_is_made_for_nan_and_gets_it_unless_the_schema_refuses(self, trees):
        holed = table()
        holed.loc[100, "rsi"] = np.nan
        np.testing.assert_array_equal(trees.predict(holed), lightgbm_alone(trees, holed))
        run = new_store().save(trees.model, "lightgbm/X", features=FeatureSchema(NAMES, nan="refuse"))
        with pytest.raises(errors.FeatureMismatch, match="'rsi' holds NaN"):
            load_adapter(run).predict(holed)


class TestCategories:
    def test_categories_in_another_order_are_put_right(self, session_trees):
        right = session_trees.predict(with_session())
        moved = with_session()
        moved["session"] = moved["session"].cat.reorder_categories(["us", "asia", "europe"])
        np.testing.assert_array_equal(session_trees.predict(moved), right)
        # a program that makes codes of the categories gets other codes, and LightGBM cannot know
        columns = ["close", "session", "rsi"]
        before, after = (frame[columns].assign(session=frame["session"].cat.codes) for frame in (with_session(), moved))
        on_codes = lightgbm.train(
            {"min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1},
            lightgbm.Dataset(before.iloc[TRAIN], target()[TRAIN], categorical_feature=["session"]),
            10,
        )
        assert silent_and_wrong(on_codes.predict(after), on_codes.predict(before))

    def test_fewer_categories_than_in_training_are_put_right(self, session_trees):
        part = with_session().iloc[14:16]  # of which only some are there
        part = part.assign(session=part["session"].cat.remove_unused_categories())
        assert part["session"].cat.categories.tolist() != ["asia", "europe", "us"]
        np.testing.assert_array_equal(session_trees.predict(part), session_trees.predict(with_session())[14:16])

    def test_text_is_taken_as_the_category(self, session_trees):
        text = with_session().astype({"session": object})
        np.testing.assert_array_equal(session_trees.predict(text), session_trees.predict(with_session()))

    def test_an_unseen_category_is_silent_in_lightgbm_and_refused_by_name(self, session_trees):
        strange = with_session()
        strange["session"] = strange["session"].cat.rename_categories({"us": "moon"})
        found = lightgbm_alone(session_trees, strange[["close", "session", "rsi"]])
        assert silent_and_wrong(found, session_trees.predict(with_session()))
        with pytest.raises(errors.FeatureMismatch, match="'session' holds 'moon' .trained: 'asia', 'europe', 'us'"):
            session_trees.predict(strange)

    def test_an_integer_in_the_place_of_text_is_silent_in_lightgbm_and_refused(self, session_trees):
        numbers = with_session()
        numbers["session"] = pd.Categorical(numbers["session"].cat.codes)
        found = lightgbm_alone(session_trees, numbers[["close", "session", "rsi"]])
        assert silent_and_wrong(found, session_trees.predict(with_session()))
        with pytest.raises(errors.FeatureMismatch, match="'session'") as caught:
            session_trees.predict(numbers)
        assert "session" in caught.value.dtype

    def test_an_array_cannot_say_which_category_it_means(self, session_trees):
        codes = with_session().assign(session=with_session()["session"].cat.codes).to_numpy()
        with pytest.raises(errors.FeatureMismatch, match="a number in it may be a code or a value"):
            session_trees.predict(codes)


class TestPrecision:
    def test_rows_on_a_threshold_flip_with_the_dtype_and_are_cast_to_that_of_training(self, on_thresholds):
        adapter, rows = on_thresholds
        right = lightgbm_alone(adapter, rows.astype("float32"))
        flipped = lightgbm_alone(adapter, rows) != right
        assert flipped.mean() > 0.1
        np.testing.assert_array_equal(adapter.predict(rows), right)
        np.testing.assert_array_equal(adapter.predict(rows.to_numpy()), right)

    def test_digits_that_were_lost_before_cannot_come_back(self):
        adapter = small_trees(selected_features=None).fit(table(), target(), TRAIN, VALID)
        coarse = table().astype("float32")
        given = adapter.model_matrix(coarse)
        assert set(given.dtypes) == {np.dtype("float64")}
        np.testing.assert_array_equal(adapter.predict(coarse), lightgbm_alone(adapter, coarse.astype("float64")))

    def test_torch_raises_at_float64_and_the_adapter_casts(self, gru):
        ready = windows(gru.preprocessor.transform(table().to_numpy()), LENGTH)
        with pytest.raises((ValueError, RuntimeError), match="dtype"):
            gru.model(torch.from_numpy(ready.copy()))
        assert np.abs(gru.predict(ready, preselected=True) - gru.predict(table())).max() <= 1e-6

    def test_float32_data_is_cast_before_it_is_scaled(self, gru):
        coarse = table().astype("float32")
        np.testing.assert_array_equal(gru.predict(coarse), gru.predict(coarse.astype("float64")))

    def test_a_number_that_would_change_is_refused(self):
        frame = table().assign(trades=np.arange(ROWS))
        adapter = loaded(small_trees(selected_features=None).fit(frame, target(), TRAIN, VALID))
        with pytest.raises(errors.FeatureMismatch, match="'trades': expected int64, found float64"):
            adapter.predict(frame.assign(trades=frame["trades"] + 0.5))


class TestForgotten:
    def test_the_scaler_is_silent_if_forgotten_and_cannot_be_here(self, gru):
        right = gru.predict(table())
        assert silent_and_wrong(torch_alone(gru, table(), scaled=False), right)
        assert np.abs(torch_alone(gru, table()) - right).max() <= 1e-6

    def test_a_run_that_has_lost_its_scaler_refuses_to_predict(self, gru):
        run = new_store().save(
            TorchState(gru.model.state_dict()),
            "gru/LOST",
            features=gru.features,
            config=gru.config,
            tags={"requires": "preprocessor"},
        )
        with pytest.raises(errors.ComponentNotFound, match="predictions without it would be wrong"):
            load_adapter(run).predict(table())

    def test_the_selection_is_made_behind_the_scaler_as_in_training(self):
        adapter = loaded(small_gru(selected_features=["rsi", "open"]).fit(table(), target(), TRAIN, VALID))
        raw, train = table().to_numpy(), table().to_numpy()[TRAIN]
        selected_first = (raw[:, [5, 0]] - train[:, :2].mean(axis=0)) / train[:, :2].std(axis=0)
        scaled = adapter.preprocessor.transform(raw)[:, [5, 0]]
        right = adapter.predict(table())
        assert silent_and_wrong(torch_alone(adapter, selected_first, scaled=False), right)  # the statistics of others
        assert np.abs(torch_alone(adapter, scaled, scaled=False) - right).max() <= 1e-6


class TestAgents:
    """The same for PPO, whose policy is given observations: windows of the columns, and the account beside them."""

    @pytest.fixture(scope="module")
    @staticmethod
    def agent():
        market = Market.of("EURUSD", make_candles(160)).frame
        config = {"timesteps": 64, "n_steps": 32, "batch_size": 32, "n_epochs": 1, "seed": 3}
        agent = PPOAdapter(config={**config, "env": {"window": 4, "episode_bars": 40}})
        return loaded(agent.fit(market, None, slice(0, 120), None)), market

    @staticmethod
    def policy_alone(agent, observations, *, normalized=True):
        """The probabilities of the actions, as the policy says them to whatever it is given."""
        given = agent.normalizer.normalize_obs(observations) if normalized else observations
        with torch.inference_mode():
            distribution = agent.model.policy.get_distribution(torch.as_tensor(np.asarray(given, dtype=np.float32)))
            return distribution.distribution.probs.numpy()

    def observations(self, agent):
        return np.asarray(agent.run.load_example().inputs)

    def test_reordered_columns_are_silent_in_an_observation_and_put_right_in_a_table(self, agent):
        agent, market = agent
        observed = self.observations(agent)
        wrong = np.flip(observed, axis=-1).copy()
        assert silent_and_wrong(self.policy_alone(agent, wrong), self.policy_alone(agent, observed))
        np.testing.assert_array_equal(agent.predict(market[list(market.columns)[::-1]]), agent.predict(market))

    def test_one_missing_and_one_extra_are_silent_in_an_observation_and_refused_in_a_table(self, agent):
        agent, market = agent
        observed = self.observations(agent)
        other = observed.copy()
        other[..., 0] = 7.0  # what another column in its place would be
        assert silent_and_wrong(self.policy_alone(agent, other), self.policy_alone(agent, observed))
        name = agent.features.selected_names[0]
        with pytest.raises(errors.FeatureMismatch, match=name) as caught:
            agent.predict(market.drop(columns=name).assign(turnover=7.0))
        assert (caught.value.missing, caught.value.extra) == ((name,), ("turnover",))

    def test_the_statistics_are_silent_if_forgotten_and_cannot_be_here(self, agent):
        agent, _ = agent
        observed = self.observations(agent)
        right = self.policy_alone(agent, observed)
        assert silent_and_wrong(self.policy_alone(agent, observed, normalized=False), right)
        np.testing.assert_array_equal(agent.predict(observed), agent.run.load_example().outputs)
        with new_store().new_run("ppo/LOST") as draft:
            draft.add("model", agent.model)
            draft.features, draft.config, draft.requires = agent.features, agent.config, agent.run.requires
        with pytest.raises(errors.ComponentNotFound, match="model_vecnormalize"):
            load_adapter(draft.run).predict(observed)

    @pytest.mark.parametrize("validated", [True, False], ids=["as torch starts", "once torch.compile was used"])
    def test_nan_is_refused_by_name_of_the_column_or_as_an_observation(self, agent, validated, monkeypatch):
        # torch.compile turns the checks of distributions off for the whole process, of agents not compiled as well.
        monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", validated)
        agent, market = agent
        observed = self.observations(agent).copy()
        observed.flat[0] = np.nan
        if validated:
            with pytest.raises(ValueError, match="nan"):
                self.policy_alone(agent, observed)
        else:
            assert np.isnan(self.policy_alone(agent, observed)[0]).all()
        with pytest.raises(errors.FeatureMismatch):
            agent.predict(observed)
        name = agent.features.selected_names[0]
        holed = market.copy()
        holed.iloc[20, holed.columns.get_loc(name)] = np.nan
        with pytest.raises(errors.FeatureMismatch, match=f"'{name}' holds NaN"):
            agent.predict(holed)

    def test_another_shape_and_float64_are_refused_and_cast(self, agent):
        agent, _ = agent
        observed = self.observations(agent)
        np.testing.assert_array_equal(agent.predict(observed.astype(np.float64)), agent.predict(observed))
        with pytest.raises(errors.FeatureMismatch):
            agent.predict(observed[..., :-1])
