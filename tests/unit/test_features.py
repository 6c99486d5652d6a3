"""The schema as a value: what it accepts, what it remembers, and its JSON."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.canonical import canonical
from artifact_store.errors import Corrupt, InvalidInput, InvalidOption
from artifact_store.features.schema import FeatureSchema, Observation

pytestmark = pytest.mark.windows

NAMES = ["open", "high", "low", "close", "volume", "venue"]

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
categories = st.one_of(
    st.lists(texts, min_size=1, max_size=4, unique=True),
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=4, unique=True),
)


@st.composite
def schemas(draw):
    names = draw(st.lists(texts, min_size=1, max_size=8, unique=True))
    of = draw(st.dictionaries(st.sampled_from(names), categories, max_size=3))
    plain = [name for name in names if name not in of]
    dtypes = st.dictionaries(st.sampled_from(plain), st.sampled_from(["float64", "float32", "int8", "bool", "string"]))
    return FeatureSchema(
        names,
        selected=draw(st.none() | st.lists(st.sampled_from(range(len(names))), unique=True)),
        selection_after_preprocessing=draw(st.booleans()),
        dtypes=draw(dtypes) if plain else None,
        categories=of,
        nan=draw(st.sampled_from(["allow", "refuse"])),
        inf=draw(st.sampled_from(["allow", "refuse"])),
        unseen=draw(st.sampled_from(["refuse", "missing"])),
        names_inferred=draw(st.booleans()),
        reason=draw(st.text(st.characters(codec="utf-8"), max_size=20)),
        observation=draw(st.none() | st.just(Observation((30, 4), "float32"))),
        extras=draw(st.dictionaries(st.just("since_1_7"), st.lists(st.integers(), max_size=2), max_size=1)),
    )


class TestSelection:
    def test_positions_and_names_say_the_same(self):
        by_position = FeatureSchema(NAMES, selected=[0, 2, 5])
        by_name = FeatureSchema(NAMES, selected=["open", "low", "venue"])
        assert by_position == by_name
        assert by_position.selected == (0, 2, 5)
        assert by_position.selected_names == ("open", "low", "venue")
        assert (by_position.feature_count, by_position.input_size, by_position.has_selection) == (6, 3, True)

    def test_the_order_of_the_selection_is_kept(self):
        assert FeatureSchema(NAMES, selected=[5, 0, 2]).selected_names == ("venue", "open", "low")

    @pytest.mark.parametrize("nothing", [None, [], (), np.array([], dtype=int), range(6)])
    def test_nothing_selected_means_all(self, nothing):
        schema = FeatureSchema(NAMES, selected=nothing)
        assert schema.selected == tuple(range(6))
        assert schema.selected_names == schema.names
        assert not schema.has_selection
        assert schema == FeatureSchema(NAMES)

    def test_all_features_in_another_order_are_a_selection(self):
        assert FeatureSchema(["a", "b"], selected=[1, 0]).has_selection

    def test_positions_of_numpy_become_plain_integers(self):
        schema = FeatureSchema(NAMES, selected=np.array([1, 3]))
        assert all(type(place) is int for place in schema.selected)
        json.dumps(schema.to_json())

    @pytest.mark.parametrize(
        "wrong",
        [[6], [-1], ["close", "klose"], [1, 1], [1, "high"], [True], [1.0], np.array([True] * 6), "open", [None]],
    )
    def test_what_is_no_position_or_there_twice_is_refused(self, wrong):
        with pytest.raises(InvalidInput):
            FeatureSchema(NAMES, selected=wrong)

    def test_a_selection_is_made_later_and_the_rest_stays(self):
        schema = FeatureSchema(NAMES, dtypes="float32", nan="refuse")
        chosen = schema.with_selection(["close", "low"], reason="importance above 1 %")
        assert chosen == FeatureSchema(
            NAMES, selected=[3, 2], dtypes="float32", nan="refuse", reason="importance above 1 %"
        )
        assert chosen.with_selection(None) == schema


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "names", ["open", b"open", [], ["a", "a"], ["a", ""], ["a", 1], [0, 1], ["a", None], ["\ud800"]]
    )
    def test_names_that_are_none(self, names):
        with pytest.raises(InvalidInput):
            FeatureSchema(names)

    @pytest.mark.parametrize(
        "of",
        [
            {"nobody": ["x"]},
            {"venue": []},
            {"venue": "abc"},
            {"venue": ["x", "x"]},
            {"venue": ["x", 1]},
            {"venue": [1, "x"]},
            {"venue": b"xy"},
            {"venue": [1.5]},
            {"venue": [True, False]},
            {"venue": [1 << 63]},
            {"venue": ["\udc00"]},
        ],
    )
    def test_categories_that_are_none(self, of):
        with pytest.raises(InvalidInput):
            FeatureSchema(NAMES, categories=of)

    @pytest.mark.parametrize(
        "dtypes",
        [{"nobody": "int8"}, {"open": "datetime64[ns]"}, {"open": "category"}, {"venue": "string"}, "complex128"],
    )
    def test_dtypes_that_are_none(self, dtypes):
        with pytest.raises(InvalidInput):
            FeatureSchema(NAMES, dtypes=dtypes, categories={"venue": ["x"]})

    @pytest.mark.parametrize("option", [{"nan": "drop"}, {"inf": True}, {"unseen": "guess"}])
    def test_policies_that_are_none(self, option):
        with pytest.raises(InvalidOption):
            FeatureSchema(NAMES, **option)

    @pytest.mark.parametrize("option", [{"reason": 3}, {"reason": "\ud800"}, {"observation": (30, 4)}])
    def test_texts_and_observations_that_are_none(self, option):
        with pytest.raises(InvalidInput):
            FeatureSchema(NAMES, **option)

    @pytest.mark.parametrize("shape", [(0,), (30, -1), (1.5,), (True,)])
    def test_observations_that_hold_nothing(self, shape):
        with pytest.raises(InvalidInput):
            Observation(shape)

    def test_a_category_is_a_whole_number_of_64_bits(self):
        smallest, largest = -(1 << 63), (1 << 63) - 1
        assert FeatureSchema(["a"], categories={"a": [smallest, largest]}).categories["a"] == (smallest, largest)
        for outside in (smallest - 1, largest + 1):
            with pytest.raises(InvalidInput, match="64 bits"):
                FeatureSchema(["a"], categories={"a": [1, outside]})

    def test_an_observation_is_a_frozen_value_of_plain_numbers(self):
        observation = Observation([np.int64(30), 4])
        assert (observation.shape, type(observation.shape[0])) == ((30, 4), int)
        assert observation == Observation((30, 4), "float32")
        with pytest.raises(AttributeError):
            observation.dtype = "float64"

    def test_what_a_newer_release_says_of_an_observation_is_kept_and_cannot_be_changed(self):
        value = {"shape": [4], "dtype": "float32", "bounds": {"low": [0]}}
        observation = Observation.from_json(value)
        value["bounds"]["low"].append(1)
        assert observation.extras == {"bounds": {"low": [0]}}
        with pytest.raises(TypeError):
            observation.extras["bounds"] = {}
        for wrong in ({"shape": [4]}, {"shape": [4], "dtype": 3}, {"shape": "4", "dtype": "float32"}):
            with pytest.raises(Corrupt):
                Observation.from_json(wrong)

    @pytest.mark.parametrize("count", [0, -3, 2.0, True, "3"])
    def test_a_number_of_features_that_is_none(self, count):
        with pytest.raises(InvalidInput):
            FeatureSchema.inferred(count)


class TestTheValue:
    def test_one_dtype_is_that_of_all_columns_without_categories(self):
        schema = FeatureSchema(["a", "b"], dtypes="float32", categories={"b": ["x"]})
        assert dict(schema.dtypes) == {"a": "float32", "b": "category"}

    @pytest.mark.parametrize(
        "dtype",
        [
            *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
            "float16",
            "float32",
            "float64",
            "bool",
        ],
    )
    def test_every_number_of_numpy_is_a_dtype(self, dtype):
        rows = np.ones((1, 2), dtype)
        assert FeatureSchema(["a", "b"], dtypes=dtype).align(rows) is rows

    def test_dtypes_may_be_given_as_those_of_numpy(self):
        assert FeatureSchema(["a"], dtypes={"a": np.dtype("int16")}).dtypes["a"] == "int16"

    def test_it_cannot_be_changed(self):
        schema = FeatureSchema(["a"], dtypes="float32", extras={"later": [1]})
        with pytest.raises(FrozenInstanceError):
            schema.names = ("b",)
        with pytest.raises(TypeError):
            schema.dtypes["a"] = "int8"
        schema.to_json()["later"].append(2)
        assert schema.extras["later"] == [1]

    def test_what_it_was_made_of_may_change_afterwards(self):
        names, extras = ["a", "b"], {"later": [1]}
        schema = FeatureSchema(names, extras=extras)
        names.append("c")
        extras["later"].append(2)
        assert schema.names == ("a", "b")
        assert schema.extras["later"] == [1]

    def test_it_is_a_key_and_survives_copies_and_other_processes(self):
        schema = FeatureSchema(NAMES, selected=[1], categories={"venue": [3, 1]}, observation=Observation((4,)))
        assert {schema: 1, FeatureSchema(NAMES): 2}[copy.deepcopy(schema)] == 1
        assert pickle.loads(pickle.dumps(schema)) == schema
        observation = Observation((4, 2), "float64", {"low": [0]})
        assert pickle.loads(pickle.dumps(observation)) == observation
        assert hash(observation) == hash(copy.copy(observation))

    def test_its_text_is_short(self):
        names = [f"column_{place}" for place in range(500)]
        assert repr(FeatureSchema(names, selected=[1, 2])).startswith("<FeatureSchema: 500 features, 2 selected; ")
        assert repr(FeatureSchema.inferred(3)).startswith("<FeatureSchema: 3 features, names inferred; ")

    def test_made_up_names_are_marked(self):
        schema = FeatureSchema.inferred(3, selected=[2])
        assert schema.names == ("feature_0", "feature_1", "feature_2")
        assert schema.names_inferred
        assert schema.selected == (2,)
        assert schema != FeatureSchema(schema.names, selected=[2])


class TestFingerprint:
    def test_it_is_the_same_in_every_release(self):
        assert FeatureSchema(["a", "b"], selected=[1], dtypes="float64").fingerprint == (
            "ee47c386c99fc4efa8a45df87fcfa1398d90bdd397879e0b49424b2c78e361bf"
        )

    @pytest.mark.parametrize(
        "other",
        [
            {"names": ["b", "a", "c"]},
            {"selected": [0]},
            {"selection_after_preprocessing": False},
            {"dtypes": "float32"},
            {"categories": {"a": ["x", "y"]}},
            {"nan": "refuse"},
            {"inf": "refuse"},
            {"unseen": "missing"},
            {"names_inferred": True},
            {"observation": Observation((4,))},
        ],
    )
    def test_everything_that_decides_about_alignment_changes_it(self, other):
        changed = FeatureSchema(**{"names": ["a", "b", "c"], **other})
        assert changed.fingerprint != FeatureSchema(["a", "b", "c"]).fingerprint

    def test_the_order_of_categories_and_of_the_selection_counts(self):
        prints = {
            FeatureSchema(["a", "b"], categories={"a": ["x", "y"]}).fingerprint,
            FeatureSchema(["a", "b"], categories={"a": ["y", "x"]}).fingerprint,
            FeatureSchema(["a", "b", "c"], selected=[0, 1]).fingerprint,
            FeatureSchema(["a", "b", "c"], selected=[1, 0]).fingerprint,
        }
        assert len(prints) == 4

    def test_remarks_and_unknown_fields_do_not_change_it(self):
        plain = FeatureSchema(["a", "b"], observation=Observation((4,)))
        more = FeatureSchema(
            ["a", "b"], observation=Observation((4,), extras={"low": 0}), reason="because", extras={"later": 1}
        )
        assert plain.fingerprint == more.fingerprint
        assert plain != more


class TestJson:
    @settings(deadline=None)  # a busy machine is no finding
    @given(schemas())
    def test_what_is_read_back_is_equal(self, schema):
        value = json.loads(canonical(schema.to_json()))
        again = FeatureSchema.from_json(value)
        assert again == schema
        assert again.fingerprint == schema.fingerprint
        assert again.to_json() == value

    def test_both_positions_and_names_of_the_selection_are_written(self):
        value = FeatureSchema(NAMES, selected=[0, 2]).to_json()
        assert (value["selected"], value["selected_names"]) == ([0, 2], ["open", "low"])

    def test_fields_of_a_newer_minor_format_survive(self):
        value = FeatureSchema(["a"], observation=Observation((3,))).to_json()
        value |= {"units": {"a": "EUR"}}
        value["observation"] |= {"low": [0.0, 1.0]}
        assert FeatureSchema.from_json(value).to_json() == value

    def test_names_alone_are_enough(self):
        assert FeatureSchema.from_json({"names": ["a", "b"]}) == FeatureSchema(["a", "b"])

    @pytest.mark.parametrize("value", [None, [], "names", 3, {}, {"selected": [0]}])
    def test_what_is_no_schema_is_corrupt(self, value):
        with pytest.raises(Corrupt):
            FeatureSchema.from_json(value)

    @pytest.mark.parametrize(
        "field",
        [
            {"names": "ab"},
            {"names": {"a": 1}},
            {"names": ["a", 1]},
            {"names": ["a", "a"]},
            {"names": ["\ud800"]},
            {"selected": "01"},
            {"selected": ["a"]},
            {"selected": [0.0]},
            {"selected": [True]},
            {"selected": [9]},
            {"selected": [0], "selected_names": ["b"]},
            {"selected_names": 3},
            {"selection_after_preprocessing": 1},
            {"dtypes": []},
            {"dtypes": {"a": 8}},
            {"dtypes": {"a": "float128"}},
            {"categories": None},
            {"categories": {"a": "xy"}},
            {"categories": {"a": [1.5]}},
            {"categories": {"a": {"x": 1}}},
            {"nan": None},
            {"nan": "impute"},
            {"inf": 0},
            {"unseen": []},
            {"inferred": "no"},
            {"reason": None},
            {"observation": [3]},
            {"observation": {"shape": [3]}},
            {"observation": {"shape": 3, "dtype": "float32"}},
            {"observation": {"shape": [3.5], "dtype": "float32"}},
            {"observation": {"shape": [0], "dtype": "float32"}},
        ],
    )
    def test_a_field_that_we_would_not_write_is_corrupt(self, field):
        with pytest.raises(Corrupt):
            FeatureSchema.from_json({**FeatureSchema(["a", "b"]).to_json(), **field})

    def test_bytes_are_no_selection(self):
        with pytest.raises(InvalidInput, match="is a single one"):
            FeatureSchema([f"c{number}" for number in range(200)], selected=b"ab")

    def test_a_misspelt_selection_gets_a_suggestion(self):
        with pytest.raises(InvalidInput, match=r"'clsoe' \(did you mean 'close'\?\) is selected"):
            FeatureSchema(["open", "close"], selected=["clsoe"])


class TestFromATable:
    def test_pandas_gives_names_dtypes_and_ordered_categories(self):
        frame = pd.DataFrame(
            {
                "price": np.array([1.5], "float32"),
                "count": pd.array([1], "Int64"),
                "open": [True],
                "venue": pd.Categorical(["b"], categories=["b", "a", "never seen"]),
                "hour": pd.Categorical([7], categories=[9, 7]),
                "note": ["x"],
            }
        )
        schema = FeatureSchema.from_frame(frame, selected=["price", "venue"], nan="refuse")
        assert dict(schema.dtypes) == {
            "price": "float32",
            "count": "int64",
            "open": "bool",
            "venue": "category",
            "hour": "category",
            "note": "string",
        }
        assert dict(schema.categories) == {"venue": ("b", "a", "never seen"), "hour": (9, 7)}
        assert schema.selected_names == ("price", "venue")
        assert schema.nan == "refuse"

    def test_polars_gives_the_list_of_an_enum_and_the_values_of_a_categorical(self):
        frame = pl.DataFrame(
            {
                "price": [1.5, 2.0],
                "venue": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a", "c"])),
                "side": pl.Series(["sell", "buy"], dtype=pl.Categorical),
            }
        )
        schema = FeatureSchema.from_frame(frame)
        assert dict(schema.dtypes) == {"price": "float64", "venue": "category", "side": "category"}
        assert dict(schema.categories) == {"venue": ("b", "a", "c"), "side": ("buy", "sell")}

    def test_arrow_gives_the_dictionary(self):
        table = pa.table({"price": pa.array([1, 2], pa.uint16()), "venue": pa.array(["b", "a"]).dictionary_encode()})
        schema = FeatureSchema.from_frame(table)
        assert dict(schema.dtypes) == {"price": "uint16", "venue": "category"}
        assert dict(schema.categories) == {"venue": ("b", "a")}

    @pytest.mark.parametrize(
        "frame",
        [
            np.zeros((2, 3)),
            {"a": 1},
            pd.DataFrame(np.zeros((2, 3))),
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            pd.DataFrame({"at": pd.to_datetime(["2024-01-01"])}),
            pd.DataFrame({"mixed": pd.Series(["x", 1], dtype=object)}),
            pd.DataFrame({"bins": pd.Categorical([0.5, 1.5])}),
        ],
    )
    def test_what_a_model_cannot_take_is_refused(self, frame):
        with pytest.raises(InvalidInput, match="know|rename|convert or drop|whole numbers"):
            FeatureSchema.from_frame(frame)
