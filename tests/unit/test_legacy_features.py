"""Which columns an old model takes: every form that its files say it in, and every way in which they contradict."""

import json

import numpy as np
import pytest

from artifact_store.errors import FeatureMismatch
from artifact_store.features.schema import Observation
from artifact_store.legacy.formats.features import Claim, Evidence, Fitted, claim_of, recover_features
from artifact_store.legacy.trees.notes import numbers, parse_notes, read_old_time

pytestmark = pytest.mark.windows

ALL = tuple(f"column {letter}" for letter in "abcdefgh")
CHOSEN = (0, 3, 5)
NAMED = tuple(ALL[place] for place in CHOSEN)
MADE_UP = tuple(f"feature_{place}" for place in range(3))


def evidence(width, *claims, **more):
    return Evidence(width, "gru.weight_ih_l0 in model.pth", claims, **more)


def refused(*args, **more):
    with pytest.raises(FeatureMismatch) as caught:
        recover_features(evidence(*args, **more))
    return str(caught.value)


class TestNamesThatAreStored:
    def test_as_many_names_as_inputs_are_the_inputs(self):
        found = recover_features(evidence(8, Claim("model.pth", ALL)))
        assert (found.schema.names, found.schema.has_selection, found.known) == (ALL, False, "stored")
        assert found.origin == "names of model.pth"

    def test_a_selection_picks_from_all_names(self):
        found = recover_features(evidence(3, Claim("model.pth", ALL, CHOSEN)))
        assert found.schema.names == ALL
        assert found.schema.selected_names == NAMED
        assert found.schema.selection_after_preprocessing

    def test_names_that_are_selected_already_are_not_picked_from_again(self):
        found = recover_features(evidence(3, Claim("metadata.json", NAMED, (0, 1, 2))))
        assert found.schema.names == found.schema.selected_names == NAMED

    def test_original_indices_beside_selected_names_are_out_of_range_and_harmless(self):
        found = recover_features(evidence(3, Claim("metadata.json", NAMED, (4, 9, 77), count=80)))
        assert found.schema.selected_names == NAMED

    def test_names_and_selection_may_come_from_two_places(self):
        found = recover_features(evidence(3, Claim("metadata.json", ALL), Claim("model.pth", (), CHOSEN)))
        assert found.schema.selected_names == NAMED
        assert found.origin == "names of metadata.json, selection of model.pth"

    def test_an_empty_list_says_nothing(self):
        found = recover_features(evidence(8, claim_of("metadata.json", {"feature_names": []}), Claim("model.pth", ALL)))
        assert found.schema.names == ALL

    def test_the_place_that_tells_more_is_taken_if_both_agree(self):
        found = recover_features(evidence(3, Claim("metadata.json", NAMED), Claim("model.pth", ALL, CHOSEN)))
        assert (found.schema.names, found.schema.selected_names) == (ALL, NAMED)

    def test_a_name_that_the_library_has_respelled_is_no_contradiction(self):
        booster = tuple(name.replace(" ", "_") for name in ALL)
        assert (
            recover_features(evidence(8, Claim("metadata.json", ALL), Claim("the booster", booster))).schema.names
            == ALL
        )


class TestThePreprocessor:
    def test_its_names_are_taken_where_no_others_are(self):
        found = recover_features(evidence(8, Claim("model.pth"), fitted=Fitted("preprocessor.pkl", 8, ALL)))
        assert (found.schema.names, found.known) == (ALL, "preprocessor")

    def test_its_names_and_a_stored_selection_go_together(self):
        claim = Claim("model.pth", MADE_UP, CHOSEN)
        found = recover_features(evidence(3, claim, fitted=Fitted("preprocessor.pkl", 8, ALL)))
        assert (found.schema.names, found.schema.selected_names) == (ALL, NAMED)

    def test_it_tells_the_columns_that_selected_names_were_picked_from(self):
        found = recover_features(evidence(3, Claim("metadata.json", NAMED), fitted=Fitted("preprocessor.pkl", 8, ALL)))
        assert (found.schema.names, found.schema.selected_names) == (ALL, NAMED)
        assert found.schema.selection_after_preprocessing

    @pytest.mark.parametrize("names", [NAMED, ()])
    def test_one_that_was_fitted_on_the_selected_columns_comes_after_the_selection(self, names):
        found = recover_features(
            evidence(3, Claim("model.pth", ALL, CHOSEN), fitted=Fitted("preprocessor.pkl", 3, names))
        )
        assert found.schema.selected_names == NAMED
        assert not found.schema.selection_after_preprocessing

    def test_without_names_its_columns_go_by_place(self):
        claim = Claim("metadata.json", NAMED, CHOSEN)
        found = recover_features(evidence(3, claim, fitted=Fitted("preprocessor.pkl", 8)))
        assert (found.schema.feature_count, found.schema.selected, found.known) == (8, CHOSEN, "inferred")
        assert found.remarks == ("the selected columns are called column a, column d, column f",)

    def test_one_of_another_training_is_refused(self):
        text = refused(8, Claim("model.pth", ALL), fitted=Fitted("preprocessor.pkl", 8, (*ALL[:7], "other")))
        assert text.startswith("preprocessor.pkl takes 8 columns (column a, column b, column c, ...)")
        assert "they do not belong together" in text

    def test_one_in_another_order_is_refused(self):
        with pytest.raises(FeatureMismatch) as caught:
            recover_features(evidence(8, Claim("model.pth", ALL), fitted=Fitted("preprocessor.pkl", 8, ALL[::-1])))
        assert caught.value.reordered

    def test_one_of_another_width_with_nothing_to_tell_which_is_refused(self):
        text = refused(3, Claim("model.pth"), fitted=Fitted("preprocessor.pkl", 8))
        assert "takes 3 inputs (gru.weight_ih_l0 in model.pth)" in text
        assert "nothing tells which of the 8 preprocessed columns" in text


class TestNamesThatAreMadeUp:
    def test_without_any_information_names_are_made_up_and_marked(self):
        found = recover_features(evidence(5))
        assert found.schema.names == tuple(f"feature_{place}" for place in range(5))
        assert found.schema.names_inferred
        assert found.known == "inferred"

    @pytest.mark.parametrize("names", [MADE_UP, ("Column_0", "Column_1", "Column_2"), ("0", "1", "2")])
    def test_the_names_that_libraries_make_up_are_none(self, names):
        found = recover_features(evidence(3, Claim("model.pkl", names)))
        assert found.schema.names_inferred
        assert found.schema.names == MADE_UP

    def test_they_never_justify_a_match_by_name(self):
        import pandas as pd

        schema = recover_features(evidence(3, Claim("model.pkl", MADE_UP))).schema
        frame = pd.DataFrame(np.eye(3), columns=list(MADE_UP))
        with pytest.raises(FeatureMismatch):
            schema.prepare(frame)
        np.testing.assert_array_equal(schema.prepare(frame, by_position=True), np.eye(3))

    def test_a_selection_from_a_table_of_known_width_goes_by_place(self):
        found = recover_features(evidence(3, Claim("model.pkl", MADE_UP, CHOSEN, count=8)))
        assert (found.schema.feature_count, found.schema.selected) == (8, CHOSEN)
        rows = np.arange(16.0).reshape(2, 8)
        np.testing.assert_array_equal(found.schema.prepare(rows), rows[:, CHOSEN])

    def test_a_selection_from_a_table_of_unknown_width_is_told_and_not_guessed(self):
        found = recover_features(evidence(3, Claim("model.pkl", MADE_UP, CHOSEN)))
        assert found.schema.feature_count == 3
        assert found.schema.reason == "the inputs are the columns 0, 3, 5 of a training table without names"


class TestContradictions:
    def test_another_width_is_refused_with_both_numbers_and_where_each_came_from(self):
        text = refused(114, Claim("metadata.json", tuple(f"c{place}" for place in range(50)), count=50))
        assert "the model takes 114 inputs (gru.weight_ih_l0 in model.pth)" in text
        assert "50 names in metadata.json" in text

    def test_names_that_do_not_fit_are_refused_though_others_do(self):
        text = refused(8, Claim("metadata.json", ALL[:5]), Claim("model.pth", ALL))
        assert "5 names in metadata.json, 8 names in model.pth" in text
        fitted = Fitted("preprocessor.pkl", 8, ALL)
        assert "8 columns in preprocessor.pkl" in refused(8, Claim("metadata.json", ALL[:7]), fitted=fitted)

    def test_a_selection_out_of_range_is_refused(self):
        assert "3 selected in model.pth" in refused(3, Claim("model.pth", ALL, (0, 3, 8)))

    def test_a_selection_with_a_place_twice_is_refused(self):
        assert "8 names in model.pth" in refused(3, Claim("model.pth", ALL, (0, 3, 3)))

    def test_two_places_that_name_different_columns_are_refused(self):
        swapped = (ALL[1], ALL[0], *ALL[2:])
        text = refused(8, Claim("metadata.json", ALL), Claim("model.pth", swapped))
        assert "as input 0 the one has 'column a', the other 'column b'" in text

    def test_two_selections_are_refused(self):
        text = refused(3, Claim("metadata.json", ALL, (0, 3, 6)), Claim("model.pth", ALL, CHOSEN))
        assert "as input 2 the one has 'column g', the other 'column f'" in text

    def test_fewer_features_than_inputs_are_refused_though_nobody_names_them(self):
        assert "feature_count 50 in metadata.json" in refused(114, Claim("metadata.json", count=50))

    def test_what_was_lost_with_a_damaged_note_is_told(self):
        text = refused(3, Claim("metadata.json", ALL), lost=("metadata.json breaks off inside 'selected_features'",))
        assert text.endswith("(metadata.json breaks off inside 'selected_features')")

    @pytest.mark.parametrize("width", [0, 1 << 40])
    def test_a_width_that_no_model_has_is_refused(self, width):
        refused(width)


class TestObservations:
    BOX = Observation((8, 7), "float32")

    def test_names_cover_the_raw_columns_and_the_shape_the_rest(self):
        claim = Claim("model_metadata.json", ALL[:5], count=56, shape=(8, 7))
        found = recover_features(evidence(56, claim, observation=self.BOX))
        assert found.schema.names == ALL[:5]
        assert found.schema.observation == self.BOX
        assert found.known == "stored"

    def test_without_names_they_are_made_up(self):
        found = recover_features(evidence(56, observation=self.BOX))
        assert (found.schema.feature_count, found.schema.names_inferred) == (7, True)

    def test_another_shape_is_refused(self):
        text = refused(56, Claim("model_metadata.json", shape=(8, 9)), observation=self.BOX)
        assert "(8, 7)" in text
        assert "(8, 9)" in text

    def test_two_lists_of_names_are_refused(self):
        refused(56, Claim("a", ALL[:5]), Claim("b", ALL[1:6]), observation=self.BOX)


WHOLE = {"feature_names": list(ALL), "feature_count": 8, "config": {"a": [1, 2]}, "selected_features": [0, 3, 5]}


class TestNotes:
    def test_a_whole_document_has_no_damage(self):
        notes = parse_notes("metadata.json", json.dumps(WHOLE, indent=2).encode())
        assert (notes.fields, notes.damage) == (WHOLE, "")

    @pytest.mark.parametrize("indent", [None, 2])
    def test_of_one_that_breaks_off_what_stands_before_is_kept(self, indent):
        text = json.dumps(WHOLE, indent=indent)
        notes = parse_notes("metadata.json", text[: text.rindex("3")].encode())
        assert notes.fields == {name: WHOLE[name] for name in ("feature_names", "feature_count", "config")}
        assert "metadata.json breaks off inside 'selected_features'" in notes.damage

    def test_wherever_it_breaks_off_nothing_wrong_is_read(self):
        text = json.dumps(WHOLE, indent=1)
        for end in range(len(text)):
            found = parse_notes("metadata.json", text[:end].encode())
            assert found.damage
            assert all(WHOLE[name] == value for name, value in found.fields.items())

    def test_the_end_of_a_number_is_not_believed(self):
        assert parse_notes("n", b'{"feature_count": 11').fields == {}

    @pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[1]", b"nothing", b'{"a":' * 5000, b"[" * 100_000])
    def test_what_is_no_object_is_damage_and_no_error(self, data):
        notes = parse_notes("metadata.json", data)
        assert notes.damage
        assert not notes.fields

    def test_nesting_that_could_not_be_stored_is_damage(self):
        assert parse_notes("n", json.dumps({"a": json.loads("[" * 40 + "]" * 40)}).encode()).damage

    def test_claims_that_are_no_names_and_no_places_are_flaws(self):
        claim = claim_of("metadata.json", {"feature_names": "open", "selected_features": [0.5], "feature_count": True})
        assert (claim.names, claim.selected, claim.count) == ((), (), None)
        assert claim.flaw.count("metadata.json") == 3

    @pytest.mark.parametrize("names", [["a", "a"], ["a", 1], [""], {"a": 1}, 5])
    def test_unusable_names_are_a_flaw(self, names):
        assert claim_of("metadata.json", {"feature_names": names}).flaw

    def test_numbers_of_numpy_are_numbers(self):
        claim = claim_of("model.pth", {"selected_features": np.array([0, 3]), "feature_count": np.int64(8)})
        assert (claim.selected, claim.count) == ((0, 3), 8)

    def test_a_time_without_a_zone_is_taken_as_utc(self):
        assert read_old_time("2024-08-16T14:23:01.234567").isoformat() == "2024-08-16T14:23:01.234567+00:00"
        assert read_old_time("2024-08-16T14:23:01+02:00").isoformat() == "2024-08-16T12:23:01+00:00"
        for text in ("yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1970-01-01"):
            assert read_old_time(text) is None
        assert read_old_time(None) is None

    def test_metrics_are_those_that_are_numbers(self):
        assert numbers({"a": 1, "b": 0.5, "c": "x", "d": float("nan"), "e": True}) == {"a": 1, "b": 0.5}


@pytest.mark.parametrize("count", [-1, (1 << 20) + 1, 10**400])
def test_a_number_of_features_that_no_table_has_is_left_out(count):
    claim = claim_of("metadata.json", {"feature_count": count, "selected_features": [0, 2]})
    recovered = recover_features(Evidence(2, "gru.weight_ih_l0", (claim,)))
    assert recovered.schema.feature_count == 2
    assert "feature_count of metadata.json is not usable" in recovered.remarks
