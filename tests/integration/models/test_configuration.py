"""The config of a model: what is a setting, whose it is, which of two counts, and what is logged while loading."""

import copy
import logging
import re
import sys
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from artifact_models import BaseModelAdapter, GRUAdapter, LightGBMAdapter, PPOAdapter, load_adapter
from artifact_models.gbm import parameters
from artifact_models.gbm.trainer import LightGBMTrainer
from artifact_models.gru.trainer import GRUSettings, GRUTrainer
from artifact_models.trading.adapters import new_adapter
from artifact_models.trading.recipes import RECIPES

from artifact_store import errors
from tests.cases import each
from tests.integration.models.data import (
    NAMES,
    TRAIN,
    VALID,
    fitted_gru,
    fitted_trees,
    new_store,
    small_gru,
    table,
    target,
)

FAMILIES = {"gru": GRUAdapter, "lightgbm": LightGBMAdapter, "ppo": PPOAdapter}
SOME = {"gru": {"hidden_size": 9}, "lightgbm": {"num_leaves": 9}, "ppo": {"n_steps": 9}}
OTHER = {"gru": {"hidden_size": 5}, "lightgbm": {"num_leaves": 5}, "ppo": {"n_steps": 5}}
TRAINERS = {
    "gru": lambda *a, **k: GRUTrainer(*a, **k).settings.to_config(),
    "lightgbm": lambda *a, **k: LightGBMTrainer(*a, **k).params,
}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(params=[*FAMILIES, "gru trainer", "lightgbm trainer"])
def made(request):
    """What is made of a config: a function of it, and the type of the models."""
    model_type, _, trainer = request.param.partition(" ")
    if trainer:
        return TRAINERS[model_type], model_type
    return lambda *given, **changes: FAMILIES[model_type](*given, **changes).config, model_type


def part(config, names):
    return {name: config[name] for name in names}


class TestTheFirstArgument:
    def test_a_mapping_is_the_config(self, made):
        make, model_type = made
        some = SOME[model_type]
        assert part(make(some), some) == some
        assert make(some) == make(config=some) == make(**some)

    def test_keywords_change_single_settings_of_it(self, made):
        make, model_type = made
        both = {**SOME[model_type], "seed": 4}
        assert part(make(both, **OTHER[model_type]), both) == {**OTHER[model_type], "seed": 4}
        assert both == {**SOME[model_type], "seed": 4}

    def test_the_configuration_of_an_application_has_a_part_for_the_type(self, made):
        make, model_type = made
        whole = {"models": {**SOME, "prophet": {"growth": "flat"}}, "symbols": ["BTCEUR"], "seed": 99, "epochs": "many"}
        assert make(whole) == make(SOME[model_type])
        assert make(whole, **OTHER[model_type]) == make(OTHER[model_type])

    def test_a_part_may_be_empty_and_then_the_defaults_are_meant(self, made):
        make, model_type = made
        assert make({"models": {model_type: None}}) == make({"models": {model_type: {}}}) == make({}) == make()

    @pytest.mark.parametrize(
        ("config", "says"),
        [
            (NAMES, r"first argument is the config.*'open'.*feature_names="),
            ("config.yaml", "first argument is the config"),
            ({"models": {"prophet": {}}}, "no part for '{type}'; there are prophet"),
            ({"models": {}}, "no part for '{type}'; there are none"),
            ({"models": ["gru", "lightgbm", "ppo"]}, "no setting 'models'"),
        ],
    )
    def test_what_is_no_config_of_this_model_is_refused(self, made, config, says):
        make, model_type = made
        with pytest.raises(errors.InvalidOption, match=says.format(type=model_type)):
            make(config)

    def test_a_part_that_is_no_mapping_is_refused(self, made):
        make, model_type = made
        with pytest.raises(errors.InvalidOption, match=rf"config\['models'\]\['{model_type}'\] is a mapping"):
            make({"models": {model_type: ["hidden_size"]}})

    def test_names_of_features_are_never_taken_for_it(self, family):
        with pytest.raises(TypeError):
            FAMILIES[family](None, NAMES)

    def test_what_a_config_holds_is_not_changed_with_it(self):
        config = {"env": {"window": 4}}
        agent = PPOAdapter(config, env={"cost": 0.5})
        config["env"]["window"] = 7
        assert agent.config["env"] == {"window": 4, "cost": 0.5}

    def test_ready_settings_of_a_gru_are_taken_by_its_trainer(self):
        assert GRUTrainer(GRUSettings(epochs=3), seed=2).settings == GRUSettings(epochs=3, seed=2)


TYPOS = [
    ("gru", {"epoch": 3}, "a GRU has no setting 'epoch' (did you mean 'epochs'?); there are sequence_length"),
    ("gru", {"imputter": None}, "did you mean 'imputer'?"),
    ("gru", {3: 3}, "no setting '3'"),
    ("lightgbm", {"n_estimatrs": 9}, "LightGBM has no setting 'n_estimatrs' (did you mean 'n_estimators'?)"),
    ("lightgbm", {"min_child_sample": 9}, "did you mean 'min_child_samples'?"),
    ("lightgbm", {"early_stoping_rounds": 9}, "did you mean 'early_stopping_rounds'?"),
    ("lightgbm", {"class_weight": "balanced"}, "no setting 'class_weight'"),
    ("lightgbm", {"classes": 2}, "no setting 'classes'"),
    ("ppo", {"timestep": 9}, "PPO has no setting 'timestep' (did you mean 'timesteps'?)"),
    ("ppo", {"gama": 0.9}, "did you mean 'gamma'?"),
    ("ppo", {"env": {"windows": 9}}, "config['env']: the environment has no setting 'windows' (did you mean 'window'?)"),
    ("ppo", {"env": 3}, "config['env']: the settings of the environment are a mapping, not 3"),
    ("ppo", {"policy_kwargs": {"net_arc": [8]}}, "'policy_kwargs.net_arc' (did you mean 'policy_kwargs.net_arch'?)"),
    ("ppo", {"policy_kwargs": {"net_arch": {"policy": [8]}}}, "no setting 'policy_kwargs.net_arch.policy'"),
    ("ppo", {"policy_kwargs": [8]}, "policy_kwargs is a mapping of settings, not [8]"),
    (
        "ppo",
        {"policy_kwargs": {"optimizer_kwargs": {"weight_decy": 0.1}}},
        "(did you mean 'policy_kwargs.optimizer_kwargs.weight_decay'?)",
    ),
]  # fmt: skip


GIVEN = {
    "config": lambda family, wrong: FAMILIES[family](wrong),
    "keyword": lambda family, wrong: FAMILIES[family](**wrong),
    "application": lambda family, wrong: FAMILIES[family]({"models": {family: wrong}}),
}


@pytest.mark.parametrize("within", GIVEN)
def test_a_setting_that_does_not_exist_is_refused_before_there_are_any_data(within):
    text = [typo for typo in TYPOS if all(isinstance(name, str) for name in typo[1])]  # as keywords are
    for case in each(text if within == "keyword" else TYPOS):
        with case as (family, wrong, says):
            with pytest.raises(errors.InvalidOption) as caught:
                GIVEN[within](family, wrong)
            assert says in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"dropout": "a lot"}, "dropout is a share"),
        ({"dropout": 1}, "dropout is a share"),
        ({"learning_rate": "1e-3"}, "learning_rate is above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is above 0"),
        ({"epochs": 2.5}, "epochs is a whole number"),
        ({"epochs": True}, "epochs is a whole number"),
        ({"seed": "a"}, "seed is a whole number"),
        ({"seed": 2**64}, "seed is a whole number"),
        ({"optimizer": ["Adam"]}, "optimizer is one of"),
        ({"scaler": ["standard"]}, "scaler is one of"),
    ],
)
def test_a_value_that_means_nothing_to_a_gru_is_refused_as_early(wrong, says):
    with pytest.raises(errors.InvalidOption, match=says):
        GRUAdapter(wrong)


class TestNamesOfLightGBM:
    def test_every_parameter_and_alias_that_lightgbm_lists_is_known(self):
        import lightgbm

        booster = lightgbm.train(
            {"verbosity": -1}, lightgbm.Dataset(np.arange(40.0).reshape(-1, 1), np.arange(40.0)), 1
        )
        text = booster.model_to_string()
        stored = [
            line[1:].partition(":")[0] for line in text[text.index("\nparameters:") :].splitlines() if line[:1] == "["
        ]
        assert len(stored) > 100
        parameters.check_parameters(stored)
        scikit_learn = lightgbm.LGBMModel().get_params().keys() - {"class_weight", "importance_type", "random_state"}
        parameters.check_parameters(
            [*scikit_learn, "random_state", "eta", "lambda", "num_boost_round", "early_stopping_patience"]
        )

    @pytest.mark.parametrize(
        ("given", "main"),
        [
            ({"eta": 0.3}, {"learning_rate": 0.3}),
            ({"n_iter": 7}, {"n_estimators": 7}),
            ({"max_iter": 7}, {"n_estimators": 7}),
            ({"early_stopping": 3}, {"early_stopping_rounds": 3}),
            ({"early_stopping_patience": 3}, {"early_stopping_rounds": 3}),
            ({"loss": "binary"}, {"objective": "binary"}),
            ({"random_state": 3}, {"seed": 3}),
            ({"num_leaf": 3}, {"num_leaves": 3}),
            ({"min_child_samples": 3}, {"min_data_in_leaf": 3}),
        ],
    )
    def test_an_alias_counts_as_its_main_name(self, given, main):
        adapter = LightGBMAdapter(given)
        assert part(adapter.config, main) == main
        assert not adapter.config.keys() & given.keys()

    def test_an_alias_of_a_default_is_what_is_trained_with(self):
        X, y = table(), target()
        by_alias, by_name, usual = (
            LightGBMAdapter(settings, n_iter=3, num_threads=1).fit(X, y, TRAIN, VALID).predict(X)
            for settings in ({"eta": 0.4}, {"learning_rate": 0.4}, {})
        )
        np.testing.assert_array_equal(by_alias, by_name)
        assert (by_alias != usual).any()

    def test_two_values_under_two_names_are_refused_and_a_change_may_use_another_name(self):
        with pytest.raises(errors.InvalidOption, match=r"'learning_rate' .* eta=0.1 and shrinkage_rate=0.2"):
            LightGBMAdapter({"eta": 0.1, "shrinkage_rate": 0.2})
        assert LightGBMAdapter({"eta": 0.1, "shrinkage_rate": 0.1}).config["learning_rate"] == 0.1
        assert LightGBMAdapter({"eta": 0.1}, shrinkage_rate=0.2).config["learning_rate"] == 0.2

    def test_a_setting_of_a_program_changes_the_usual_one_whatever_it_is_called(self):
        adapter = new_adapter(RECIPES["lightgbm"], config={"min_data_in_leaf": 3, "eta": 0.5})
        assert part(adapter.config, ["min_data_in_leaf", "learning_rate"]) == {
            "min_data_in_leaf": 3,
            "learning_rate": 0.5,
        }

    @pytest.mark.parametrize(
        ("more", "stops_at_once"),
        [
            ({"metric": ["binary_logloss"]}, False),
            ({"metric": ["binary_logloss"], "early_stopping_min_delta": 1e9}, True),
            ({"metric": ["binary_logloss", "auc"]}, True),  # which has no better value than that of the first tree
            ({"metric": ["binary_logloss", "auc"], "first_metric_only": True}, False),
        ],
    )
    def test_what_early_stopping_is_told_has_an_effect(self, more, stops_at_once):
        X = pd.DataFrame(np.random.default_rng(0).normal(size=(len(table()), 3)), columns=list("abc"))
        usual = {"objective": "binary", "n_iter": 40, "early_stopping_round": 5, "num_threads": 1}
        found = LightGBMAdapter(usual, **more).fit(X, (X["a"] > 0).astype(int), TRAIN, VALID)
        assert (found.training_config["best_iteration"] == 1) == stops_at_once

    def test_what_is_usual_here_can_be_said_otherwise(self):
        columns = LightGBMAdapter(n_iter=2, force_col_wise=True, deterministic=False, num_threads=1)
        text = columns.fit(table(), target(), TRAIN, VALID).booster.model_to_string()
        assert "[force_col_wise: 1]" in text
        assert "[deterministic: 0]" in text

    def test_an_adapter_that_is_only_to_load_asks_nothing_of_lightgbm(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "lightgbm", None)
        assert LightGBMAdapter(n_estimators=3).config["n_estimators"] == 3
        with pytest.raises(errors.Unsupported, match='pip install .*"lightgbm>='):
            LightGBMAdapter(max_depth=3)


class TestClassesOfAPolicy:
    """A config holds no classes: they are in it by name, as they may be given."""

    BY_NAME: ClassVar = {
        "activation_fn": "ReLU",
        "optimizer_class": "SGD",
        "optimizer_kwargs": {"momentum": 0.5},
        "net_arch": {"pi": [4], "vf": [4]},
    }
    BY_CLASS: ClassVar = {**BY_NAME, "activation_fn": torch.nn.ReLU, "optimizer_class": torch.optim.SGD}

    @pytest.mark.parametrize("kwargs", [BY_NAME, BY_CLASS])
    def test_they_are_trained_with_saved_and_given_again(self, kwargs):
        frame = table()[["close", "rsi"]]
        small = {"timesteps": 16, "n_steps": 8, "batch_size": 8, "environments": 1, "env": {"window": 2}}
        agent = PPOAdapter(small, policy_kwargs=kwargs).fit(frame)
        store = new_store()
        agent.save(store, symbol="X")
        run = store.get("ppo/X")
        assert run.config["policy_kwargs"] == self.BY_NAME
        again = PPOAdapter(run.config).fit(frame)
        for found in (agent, again, load_adapter(run)):
            assert found.algorithm.policy.activation_fn is torch.nn.ReLU
            assert type(found.algorithm.policy.optimizer) is torch.optim.SGD
            assert found.algorithm.policy.optimizer.defaults["momentum"] == 0.5
        np.testing.assert_array_equal(again.predict(frame), agent.predict(frame))

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            (
                {"policy_kwargs": {"activation_fn": "Relu"}},
                "policy_kwargs.activation_fn: there is no Module 'Relu' in torch.nn",
            ),
            ({"policy_kwargs": {"activation_fn": "functional"}}, "there is no Module 'functional'"),
            ({"policy_kwargs": {"optimizer_class": "Module"}}, "there is no Optimizer 'Module' in torch.optim"),
            ({"policy_kwargs": {"activation_fn": lambda: None}}, "policy_kwargs.activation_fn is <function"),
            ({"policy_kwargs": {"optimizer_class": type("SGD", (torch.optim.SGD,), {})}}, "which a run cannot hold"),
            ({"learning_rate": lambda left: left / 1000}, "learning_rate is <function"),
        ],
    )
    def test_what_a_run_could_not_hold_is_refused_before_there_are_any_data(self, wrong, says):
        with pytest.raises(errors.InvalidOption, match=re.escape(says)):
            PPOAdapter(wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"timesteps": "many"}, "timesteps is a whole number from 1"),
        ({"timesteps": 0}, "timesteps is a whole number from 1"),
        ({"environments": 0}, "environments is a whole number from 1"),
        ({"seed": -1}, "seed is a whole number from 0"),
        ({"seed": True}, "seed is a whole number from 0"),
        ({"normalize": "no"}, "normalize is True or False"),
    ],
)
def test_a_value_that_means_nothing_to_an_agent_is_refused_as_early(wrong, says):
    with pytest.raises(errors.InvalidOption, match=says):
        PPOAdapter(wrong)


class TestTheConfigOfARun:
    @pytest.mark.parametrize("fitted", [fitted_gru, fitted_trees])
    def test_it_trains_another_model_with_the_same_settings(self, fitted):
        adapter = fitted()
        again = type(adapter)(adapter.config, selected_features=["close", "rsi", "low"])
        again.fit(table(), target(), TRAIN, VALID)
        assert again.config == adapter.config
        np.testing.assert_array_equal(again.predict(table()), adapter.predict(table()))

    def test_labels_in_it_are_decided_anew(self):
        first = LightGBMAdapter(objective="binary", n_estimators=2, min_data_in_leaf=5)
        first.fit(table(), np.where(target() > 0, "up", "down"), TRAIN, VALID)
        assert first.config["classes"] == ["down", "up"]
        again = LightGBMAdapter(first.config).fit(table(), (target() > 0).astype(int), TRAIN, VALID)
        assert again.config["classes"] == [0, 1]

    @pytest.mark.parametrize("family", ["gru", "lightgbm"])
    @pytest.mark.parametrize(
        ("around", "foreign"),
        [
            (lambda config, family: {"models": {family: config}, "exchange": "kraken"}, "hiden, exchange"),
            (lambda config, _: {**config, "models": {"prophet": {}}}, "hiden"),
            (lambda config, _: {**config, "models": 3}, "hiden, models"),
        ],
    )
    def test_what_an_old_run_holds_beside_does_not_keep_it_from_being_trained_again(
        self, family, around, foreign, caplog
    ):
        adapter = {"gru": fitted_gru, "lightgbm": fitted_trees}[family]()
        store = new_store()
        parts = adapter._parts()
        run = store.save(
            parts.pop("model"),
            f"{family}/OLD",
            components=parts,
            features=adapter.features,
            config=around({**adapter.config, "hiden": 3}, family),
        )
        loaded = load_adapter(run)
        with caplog.at_level(logging.INFO, "artifact_models"):
            loaded.fit(table(), target(), TRAIN, VALID)
        assert [record.getMessage() for record in caplog.records] == [
            f"these keys of the configuration are not settings of a {family} and have no effect: {foreign}"
        ]
        np.testing.assert_array_equal(loaded.predict(table()), adapter.predict(table()))


class TestWhileLoading:
    """The configuration of an application may be given: saved settings count, and the log says what does not."""

    @pytest.fixture
    def run(self):
        store = new_store()
        copy.copy(fitted_gru()).save(store, symbol="BTCEUR")
        return store.get("gru/BTCEUR")

    def told(self, caplog, run, config, load=GRUAdapter.load):
        caplog.clear()
        with caplog.at_level(logging.INFO, "artifact_models"):
            loaded = load(run, config=config)
        np.testing.assert_array_equal(loaded.predict(table()), fitted_gru().predict(table()))
        assert loaded.config == run.config
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    def test_a_setting_that_was_saved_otherwise_is_logged_each_time(self, run, caplog):
        for load in (GRUAdapter.load, BaseModelAdapter.load, GRUAdapter({"epochs": 9}).load):
            assert self.told(caplog, run, {"hidden_size": 99, "epochs": run.config["epochs"]}, load) == [
                ("WARNING", "the model was saved with hidden_size=6, and that counts, not 99")
            ]

    def test_keys_of_the_application_are_logged_once(self, run, caplog):
        whole = {"exchange": {"name": "kraken"}, "models": {"gru": {"hidden_size": 6, "dropuot": 1}}, "fee": 0.1}
        foreign = "these keys of the configuration are not settings of a gru and have no effect: exchange, fee, dropuot"
        assert self.told(caplog, run, whole) == [("INFO", foreign)]
        assert self.told(caplog, run, whole) == []
        assert self.told(caplog, run, {**whole, "models": {"gru": {"hidden_size": 7, "dropuot": 1}}}) == [
            ("WARNING", "the model was saved with hidden_size=6, and that counts, not 7")
        ]

    def test_it_may_lack_a_part_for_the_model(self, run, caplog):
        assert self.told(caplog, run, {"symbols": [], "models": {"ppo": {}}})[0][1].endswith("have no effect: symbols")
        assert self.told(caplog, run, {"models": {"gru": None}}) == []
        assert self.told(caplog, run, None) == []

    def test_what_is_no_mapping_is_refused_and_the_adapter_is_as_it_was(self, run):
        mine = small_gru()
        before = dict(vars(mine))
        with pytest.raises(errors.InvalidOption, match="first argument is the config"):
            mine.load(run, config="config.yaml")
        assert vars(mine) == before

    def test_aliases_and_settings_within_are_compared_as_what_they_are(self, caplog):
        store = new_store()
        copy.copy(fitted_trees()).save(store, symbol="BTCEUR")
        with caplog.at_level(logging.INFO, "artifact_models"):
            LightGBMAdapter.load(store.get("lightgbm/BTCEUR"), config={"eta": 0.2, "num_leaf": 9})
        assert [record.getMessage() for record in caplog.records] == [
            "the model was saved with num_leaves=6, and that counts, not 9"
        ]
