"""Which cases of a test run by default: a seeded slice of what has many or takes long, all of them with ``--nightly``.

``SLICES`` says of tests, by the beginning of their names, one in how many of the cases of each function is in the slice;
the longest beginning counts. Every function keeps one case at least, unless its number is ``NONE``. ``FUNCTIONS`` says of
files with many functions one in how many of those is in the slice at all. Which ones, the seed decides: the same seed is
the same slice, in every process.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import settings

NONE = 0
CONFORMANCE = "tests/integration/conformance"
MOTO = (f"{CONFORMANCE}/test_fsspec.py::TestS3fsOnMoto", f"{CONFORMANCE}/test_obstore.py::TestObstoreOnMoto")
PLUMBING = (
    "test_what_is_written_is_read_back_with_its_version",
    "test_create_only_leaves_what_is_there",
    "test_a_swap_from_a_stale_version_fails",
    "test_a_file_is_streamed_there_and_back",
    "test_children_are_complete_exact_and_in_order",
    "test_exactly_the_named_object_is_deleted",
    "test_reading_what_is_not_there_says_so",
)
"""What the suite of backends asks of moto by default: that requests arrive and replies are read. SeaweedFS is asked everything."""
SEAWEED = (f"{CONFORMANCE}/test_fsspec.py::TestS3fsOnSeaweed", f"{CONFORMANCE}/test_obstore.py::TestObstoreOnSeaweed")
RACES = ("test_one_of_many_creators_wins", "test_one_of_many_swaps_from_one_version_wins")
"""Races in one instance: through s3fs the races of two instances, which ask more, run by default, through obstore none:
many refusals are each tried again for long. Its creates and swaps race in tests/proofs."""
CHEAP_PAGES = (
    "test_every_test_that_the_page_of_the_old_pipeline_names_is_there",
    "test_what_the_security_page_says_of_files_and_errors_is_so",
    "test_the_json_of_the_readme_is_json",
    "test_the_documents_of_the_format_are_real_ones",
)
"""Of the tests that follow the pages, those that train nothing; a job of its own runs all."""
SLICES = {
    "tests/unit/test_codec_sb3.py": 16,
    "tests/unit/test_codec_sb3_contrib.py": 4,
    "tests/unit/test_codec_sb3_replay.py": 4,
    "tests/integration/legacy/test_old_agents.py": 6,
    "tests/unit/test_option_secrets.py": 6,
    "tests/unit/test_private_files.py": 3,
    "tests/unit/test_codec_xgboost.py": 3,
    "tests/unit/test_codec_estimators.py": 3,
    "tests/unit/test_codec_array_tree.py": 3,
    "tests/unit/test_codec_sparse.py": 3,
    "tests/unit/test_trust_before_decode.py": 4,
    "tests/unit/test_tombstone.py::test_every_flipped_bit_of_a_tombstone_is_noticed": 2,
    "tests/integration/test_limits.py::test_what_is_too_much_is_refused_by_name_and_costs_nothing": 3,
    "tests/unit/test_features_categories.py": 10,
    f"{CONFORMANCE}/test_codecs.py": 4,
    f"{CONFORMANCE}/test_codecs_torch.py": 8,
    f"{CONFORMANCE}/test_doctor.py": 5,
    f"{CONFORMANCE}/test_fsspec.py::TestS3fsOnSeaweed": 10,
    f"{CONFORMANCE}/test_obstore.py": 10,
    f"{CONFORMANCE}/test_index.py": 8,
    f"{CONFORMANCE}/test_retention.py": 5,
    f"{CONFORMANCE}/test_many.py": 3,
    f"{CONFORMANCE}/test_copying.py": 12,
    f"{CONFORMANCE}/test_files.py": 4,
    f"{CONFORMANCE}/test_watching.py": 3,
    f"{CONFORMANCE}/test_offline.py": 4,
    f"{CONFORMANCE}/test_signed_retention.py": 5,
    f"{CONFORMANCE}/test_signing.py": 5,
    f"{CONFORMANCE}/test_store.py": 16,
    f"{CONFORMANCE}/test_symbols.py": 10,
    "tests/integration/e2e/test_aws_settings.py": 12,
    "tests/integration/e2e/test_client_state.py": 4,
    "tests/integration/e2e/test_demo.py": NONE,
    "tests/integration/e2e/test_documentation.py": NONE,
    **{f"tests/integration/e2e/test_documentation.py::{name}": 1 for name in CHEAP_PAGES},
    "tests/integration/codecs/test_decode_comes_last.py": 16,
    "tests/integration/e2e/test_forks.py": 2,
    "tests/integration/e2e/test_legacy_store.py": 4,
    "tests/integration/e2e/test_ignored_conditions.py": 4,
    "tests/integration/e2e/test_ignored_conditions.py::test_who_comes_second_leaves_the_files_of_the_first_alone": 1,
    "tests/integration/e2e/test_least_privilege.py": 6,
    "tests/integration/e2e/test_agents_behind_wrappers.py": 3,
    "tests/integration/e2e/test_migrate.py": 4,
    "tests/integration/e2e/test_model_signing.py": 3,
    "tests/integration/e2e/test_processes.py": 2,
    "tests/integration/e2e/test_predictors.py": 3,
    "tests/integration/e2e/test_bad_storage.py": 3,
    "tests/integration/e2e/test_every_advice.py": 6,
    "tests/integration/e2e/test_no_connection.py": 3,
    "tests/integration/e2e/test_s3_answers.py": 6,
    "tests/integration/e2e/test_exhaustion.py": 12,
    "tests/integration/e2e/test_interrupts.py": 8,
    "tests/integration/e2e/test_cli.py": 3,
    "tests/integration/e2e/test_requests.py": 5,
    "tests/integration/e2e/test_secret_spellings.py": 96,
    "tests/integration/e2e/test_store_of_the_version_before.py": 4,
    "tests/integration/e2e/test_strict_front.py": 3,
    "tests/integration/e2e/test_strict_stores.py": 12,
    "tests/integration/e2e/test_versioned_buckets.py": 3,
    "tests/integration/faults/test_doctor_faults.py": 10,
    "tests/integration/faults/test_retention_faults.py": 12,
    "tests/integration/faults/test_index_faults.py": 12,
    "tests/integration/faults/test_store_faults.py": 6,
    "tests/integration/storage/test_few_threads.py::test_with_few_threads_s3_does_what_it_can_and_all_of_it_once_there_are_more": 8,
    "tests/integration/storage/test_few_threads.py::test_without_a_thread_s3_names_the_limit_and_works_once_it_is_lifted": 5,
    "tests/integration/storage/test_fsspec_failures.py": 3,
    "tests/integration/storage/test_ignored_ranges.py": 2,
    "tests/integration/storage/test_mounts_below.py": 3,
    "tests/integration/storage/test_slow_bodies.py": 12,
    "tests/integration/storage/test_slow_bodies.py::test_the_rate_is_that_of_the_line_which_the_files_of_a_save_share": NONE,
    "tests/integration/e2e/test_proxy.py": 5,
    "tests/integration/legacy": 6,
    "tests/integration/models": 5,
    "tests/integration/models/test_extras.py::test_a_family_trains_and_predicts_with_its_own_extra_alone": NONE,
    "tests/integration/test_benchmarks.py::test_every_row_keeps_its_limits_of_requests_steps_and_memory": NONE,
    "tests/proofs/hostile/test_old_trees.py": 12,
    "tests/proofs/hostile/test_planted_code.py": 5,
    "tests/proofs/kills": 4,
    "tests/proofs/linear/test_lost_replies.py": 4,
    "tests/proofs/matrix": 6,
    "tests/proofs/stateful/test_interleavings.py": 3,
    "tests/proofs/replays/test_servers.py": 3,
    "tests/proofs/watch": 2,
    **dict.fromkeys(MOTO, NONE),
    **{f"{suite}::{name}": NONE for suite in SEAWEED for name in RACES},
    f"{SEAWEED[1]}::test_one_of_many_creators_in_two_instances_wins": NONE,
    f"{SEAWEED[1]}::test_one_of_many_swaps_in_two_instances_wins": NONE,
    **{f"{suite}::{name}": 10 for suite in MOTO for name in PLUMBING},
    f"{MOTO[0]}::test_a_folder_made_by_a_console_is_no_object": 1,
    f"{MOTO[0]}::test_an_upload_in_parts_can_be_swapped_in": 1,
}
FUNCTIONS = {
    f"{CONFORMANCE}/test_copying.py": 2,
    f"{CONFORMANCE}/test_fsspec.py": 2,
    f"{CONFORMANCE}/test_files.py": 2,
    "tests/integration/codecs/test_decode_comes_last.py": 2,
    "tests/integration/e2e/test_agents_behind_wrappers.py": 2,
    "tests/integration/storage/test_few_threads.py": 3,
    "tests/integration/storage/test_dropped_stores.py": 2,
    "tests/integration/legacy/test_legacy_readers.py": 2,
    "tests/integration/e2e/test_no_home.py": 2,
    "tests/integration/e2e/test_cli_clear.py": 2,
    "tests/integration/e2e/test_cli_trust.py": 2,
    "tests/integration/test_limits.py": 2,
    "tests/unit/test_codec_sb3.py": 2,
    "tests/unit/test_codec_sb3_contrib.py": 2,
    "tests/unit/test_codec_estimators.py": 2,
    f"{CONFORMANCE}/test_codecs_sklearn.py": 2,
    f"{CONFORMANCE}/test_codecs.py": 2,
    f"{CONFORMANCE}/test_retention.py": 2,
    f"{CONFORMANCE}/test_vouching.py": 2,
    "tests/integration/ops/test_bulk.py": 2,
    f"{CONFORMANCE}/test_codecs_boosters.py": 2,
    f"{CONFORMANCE}/test_index.py": 2,
    f"{CONFORMANCE}/test_offline.py": 2,
    "tests/integration/e2e/test_s3_answers.py": 2,
    "tests/integration/faults": 2,
    f"{CONFORMANCE}/test_codecs_torch.py": 3,
    f"{CONFORMANCE}/test_doctor.py": 2,
    f"{CONFORMANCE}/test_fsspec.py::TestReadyS3fs": 6,
    f"{CONFORMANCE}/test_fsspec.py::TestS3fsOnSeaweed": 2,
    f"{CONFORMANCE}/test_obstore.py::TestObstoreOnSeaweed": 2,
    f"{CONFORMANCE}/test_obstore.py::TestTrouble": 3,
    f"{CONFORMANCE}/test_many.py": 2,
    f"{CONFORMANCE}/test_store.py": 2,
    f"{CONFORMANCE}/test_watching.py": 2,
    "tests/integration/e2e/test_bad_storage.py": 3,
    "tests/integration/e2e/test_cli.py": 2,
    "tests/integration/e2e/test_client_state.py": 2,
    "tests/integration/e2e/test_doctor_places.py": 2,
    "tests/integration/e2e/test_exhaustion.py": 3,
    "tests/integration/e2e/test_ignored_conditions.py": 2,
    "tests/integration/e2e/test_ignored_conditions.py::test_who_comes_second_leaves_the_files_of_the_first_alone": 1,
    "tests/integration/e2e/test_interrupts.py": 3,
    "tests/integration/e2e/test_least_privilege.py": 3,
    "tests/integration/e2e/test_legacy_store.py": 3,
    "tests/integration/e2e/test_migrate.py": 4,
    "tests/integration/e2e/test_model_signing.py": 3,
    "tests/integration/e2e/test_processes.py": 2,
    "tests/integration/e2e/test_proxy.py": 2,
    "tests/integration/e2e/test_requests.py": 4,
    "tests/integration/e2e/test_store_of_the_version_before.py": 3,
    "tests/integration/e2e/test_strict_front.py": 4,
    "tests/integration/e2e/test_strict_rules.py": 4,
    "tests/integration/e2e/test_strict_stores.py": 6,
    "tests/integration/e2e/test_versioned_buckets.py": 3,
    "tests/integration/models": 3,
    "tests/integration/ops/test_provenance.py": 4,
    "tests/integration/storage/test_fsspec_failures.py": 4,
    "tests/integration/storage/test_ignored_ranges.py": 3,
    "tests/integration/storage/test_local_processes.py": 2,
    "tests/integration/storage/test_same_process_id.py": 3,
    "tests/integration/storage/test_slow_bodies.py": 2,
    "tests/integration/storage/test_staging_processes.py": 6,
    "tests/integration/test_figures.py": 3,
    "tests/integration/tools/test_servers.py": 2,
}


def examples(short: int, nightly: int) -> int:
    """Return how many examples of Hypothesis a costly test tries in the profile that is chosen."""
    return nightly if settings.get_current_profile_name() == "nightly" else short


def share_of(nodeid: str, shares: Mapping[str, int] = SLICES) -> int:
    """Return one in how many cases of this test is in the slice, or, of ``FUNCTIONS``, functions; 1 is all."""
    fitting = [beginning for beginning in shares if fits(beginning, nodeid)]
    return shares[max(fitting, key=len)] if fitting else 1


def fits(beginning: str, nodeid: str) -> bool:
    """Whether a name begins so, and not in the middle of a word."""
    return nodeid.startswith(beginning) and nodeid[len(beginning) : len(beginning) + 1] in {"", "/", ":", "["}


def left_out(items: Iterable[pytest.Item], seed: str) -> set[str]:
    """Return the names of the tests that are not in the slice of this seed."""
    functions: dict[str, list[str]] = defaultdict(list)
    for item in items:
        functions[item.nodeid.partition("[")[0]].append(item.nodeid)
    found: set[str] = set()
    for function, cases in functions.items():
        share = share_of(cases[0])
        chosen = _number(seed, function) % share_of(function, FUNCTIONS) == 0
        kept = math.ceil(len(cases) / share) if chosen and share != NONE else 0
        cases.sort(key=lambda case: _number(seed, case))
        found.update(cases[kept:])
    return found


def _number(seed: str, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest())
