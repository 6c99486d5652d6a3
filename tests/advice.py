"""Every advice in the texts of the package, and who follows it: a new one has to be followed, or to say why it is not.

An advice is a command between backticks, an argument (``codec='json'``) or an option (``--timeout``) in a text that is
not a docstring and no help of the command line. ``FOLLOWED`` names the test that takes it out of the error and does it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import artifact_store

SNIPPET = re.compile(
    r"`[^`]+`"
    r"|(?<![\w.'-])[a-z_]+=(?:'[^']*'|True|False|None|\.\.\.|\[[^\]]*\]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}|\([^)]*\)|[A-Z][A-Za-z_.]*(?:\([^)]*\))?|[a-z]+\([^)]*\)|\d+)"
    r"|(?<![\w-])--[a-z][a-z-]+"
)
_ROOT = Path(artifact_store.__file__).parent
_E2E = "tests/integration/e2e/"
_ADVICE = f"{_E2E}test_advice.py::"
_CALLS = f"{_E2E}test_every_advice.py::"
_S3 = f"{_E2E}test_s3_answers.py::"
_TRUST = f"{_E2E}test_cli_trust.py::test_the_commands_of_the_error_lead_from_an_unsigned_history_to_a_signed_one"
_EXPORT = f"{_E2E}test_migrate.py::test_export_wants_to_be_told"
_REPORT = f"{_E2E}test_cli_report.py::TestCommand::"
_INDEX = f"{_E2E}test_cli_index.py::test_a_damaged_index_is_told_and_a_rebuild_puts_it_right"
_CONSENT = f"{_E2E}test_cli_validate.py::TestValidate::test_what_could_run_code_is_checked_as_the_page_says"
_TABLE = f"{_CALLS}test_an_advice_works_when_it_is_followed"
_COMMANDS = f"{_CALLS}test_what_a_command_lacks_is_given_as_it_tells"

_COPY = f"{_E2E}test_cli_copy.py::test_one_alias_is_copied_and_moves_where_that_is_asked_for"
_GET = f"{_E2E}test_cli.py::TestFiles::test_get_uses_what_is_there_if_it_may"
_SPEC = "tests/unit/test_bulk_spec.py::TestWhatIsSent"
_NOTES = "tests/integration/conformance/test_noting.py::"

ELSEWHERE = {
    "codecs/": "tests/zoo refuses objects and follows the way out of each refusal: docs/kept.md",
    "core/codec.py": "as the codecs, whose refusals it words",
    "core/registry.py | --upgrade": "a release of the future",
    "features/": "tests/unit/test_features*.py: schemas are small enough to be tried there",
    "legacy/formats/": "what an old file lacks cannot be given afterwards",
    "legacy/pickle_reader/": "as above",
    "testing/": "for authors of plug-ins",
    "doctor/": "tests/integration/conformance/test_doctor.py does real damage and repairs it as told: docs/doctor.md",
}
"""Beginnings of modules, or of a module and its advice, that are followed by a suite of their own, or cannot be."""

FOLLOWED = {
    "bulk/spec.py": {
        "variables={'secret': 'MODELS_SECRET'}": f"{_SPEC}::test_a_variable_is_named_and_read_where_the_store_is_opened",
        "storage_options={'profile': 'models'}": f"{_SPEC}::test_a_profile_is_named",
    },
    "bulk/work.py": {
        "backend='threading'": "tests/integration/ops/test_bulk.py::"
        "test_a_store_in_memory_is_checked_by_threads_and_not_by_processes"
    },
    "cli/cache.py": {"--size --older-than": "tests/integration/e2e/test_cli_cache.py::test_prune_shows_its_plan_first"},
    "cli/copy.py": {"--alias --no-aliases": _COPY, "--legacy --pickles": _EXPORT},
    "cli/doctor.py": {"--apply --quarantine --to --repair": _COMMANDS, "--deep": "says what a longer look does"},
    "core/note.py": {"do_not_trade=False": f"{_NOTES}test_a_mark_stays_until_it_is_lifted"},
    "noting.py": {
        "tags={...} metrics={...}": f"{_NOTES}test_what_is_noted_is_beside_the_run_and_the_run_stays_as_it_is"
    },
    "ops/cached.py": {
        "size='5GB' older_than=timedelta(days=30) days=30": "tests/unit/test_cache.py::test_a_plan_needs_to_know_what_is_to_go"
    },
    "storage/offline.py": {
        "offline=True": "tests/integration/conformance/test_offline.py::test_what_a_cache_cannot_know_and_what_writes_is_refused"
    },
    "watching/pace.py": {"minutes=30": "an example of a length of time"},
    "watching/watcher.py": {
        "offline=True": "tests/integration/conformance/test_offline.py::test_what_a_cache_cannot_know_and_what_writes_is_refused"
    },
    "cli/files.py": {"--component --file": _COMMANDS, "--exist-ok": _GET},
    "cli/housekeeping.py": {"--keep-last --keep-best --older-than --apply": _COMMANDS},
    "configuration/named.py": {"--store": f"{_E2E}test_cli.py::test_it_asks_for_a_store"},
    "cli/trust.py": {"--bundle --key --signer": _COMMANDS},
    "cli/validate.py": {"--prefer": _COMMANDS},
    "bulk/checks.py": {"`artifact-store ls`": _COMMANDS},
    "cli/app.py": {"--exit-code": "lists the exit statuses"},
    "cli/report.py": {"--out --port --serve": f"{_REPORT}test_options_that_do_not_go_together_are_refused"},
    "report/details.py": {
        "`artifact-store verify {} --predict`": f"{_REPORT}"
        "test_the_command_that_a_page_names_repeats_the_golden_predictions"
    },
    "report/serving.py": {"--port": f"{_REPORT}test_it_serves_on_the_port_that_it_is_told_until_it_is_interrupted"},
    "core/index_rows.py": {"`artifact-store index --rebuild`": _INDEX},
    "ops/index_writing.py": {"`artifact-store index --rebuild`": _INDEX},
    "core/policy.py": {"publish='never'": "repeats what was given"},
    "core/references.py": {
        "store='./store/models'": "of artifact_models.load: tests/integration/models/test_adapter.py"
    },
    "core/registry.py": {"codec={}": _TABLE},
    "core/trust.py": {
        "--allow-code": _CONSENT,
        "allow_code=True": f"{_ADVICE}test_what_reads_back_by_running_code_is_saved_and_loaded_only_as_told",
        "max_risk={}": "repeats the policy of the caller",
        "signer=...": _TABLE,
        "require_signature=True": _TABLE,
    },
    "legacy/export.py": {"pickles=True --pickles": _EXPORT},
    "ops/context.py": {"require_signature=True": _TABLE},
    "ops/index_runs.py": {
        "`artifact-store index --rebuild`": _INDEX,
        "index='only'": "tests/integration/conformance/test_index.py::test_where_signatures_are_required_the_index_is_not_asked",
    },
    "ops/keypairs.py": {"`artifact-store keygen`": _TABLE},
    "ops/listing.py": {
        "`artifact-store ls {}`": f"{_ADVICE}test_a_model_that_was_never_published_has_its_runs_listed_and_the_newest_published",
        "`artifact-store promote {} {}`": f"{_ADVICE}test_the_run_that_is_offered_for_publishing_is_there",
        "`artifact-store ls`": f"{_ADVICE}test_a_type_without_the_symbol_lists_what_there_is",
        "days=30": _TABLE,
        "publish='never'": "says how a run was saved",
        "tzinfo=UTC": _TABLE,
    },
    "ops/opening.py": {
        "`artifact-store migrate OLD NEW`": "tests/integration/e2e/test_documentation.py runs the commands of the README",
        "concurrency={}": _TABLE,
        "concurrency='single-writer'": f"{_ADVICE}test_a_storage_without_conditions_is_used_by_one_writer",
    },
    "ops/pointer_trust.py": {
        "`artifact-store history {}`": _TRUST,
        "`artifact-store --signer FILE sign {}`": _TRUST,
        "`artifact-store --signer FILE promote {} {} --vouch DIGEST`": _TRUST,
        "`artifact-store history` --vouch --trusted-key": _TRUST,
        "signer=Signer.from_pem(...)": _TABLE,
    },
    "ops/prune.py": {
        "days=7": f"{_ADVICE}test_ages_and_rules_are_given_as_the_error_shows_them",
        "keep_last=10": f"{_ADVICE}test_ages_and_rules_are_given_as_the_error_shows_them",
        "keep_best=('sharpe', 3)": f"{_ADVICE}test_ages_and_rules_are_given_as_the_error_shows_them",
        "older_than=timedelta(days=90)": f"{_ADVICE}test_ages_and_rules_are_given_as_the_error_shows_them",
        "tzinfo=UTC": _TABLE,
    },
    "ops/read.py": {
        "--allow-code": _CONSENT,
        "exist_ok=True --exist-ok": _GET,
        "allow_code=True": f"{_ADVICE}test_what_reads_back_by_running_code_is_saved_and_loaded_only_as_told",
    },
    "ops/records.py": {
        "`artifact-store ls {}`": f"{_ADVICE}test_a_model_that_was_never_published_has_its_runs_listed_and_the_newest_published"
    },
    "ops/repository.py": {"filter={}": "a setting of git, which we give ourselves"},
    "ops/copy_alias.py": {"history=False --no-history": _COPY},
    "ops/resolve.py": {
        "`artifact-store ls {}`": _TABLE,
        "`artifact-store cp`": f"{_E2E}test_cli_copy.py::"
        "test_a_run_of_another_store_becomes_one_of_this_one_by_the_command_of_the_error",
    },
    "ops/signing.py": {
        "`artifact-store --signer FILE sign {}`": f"{_ADVICE}test_an_unsigned_run_is_signed_as_told_and_loads"
    },
    "publication.py": {"publish='never'": "repeats what was asked for"},
    "save_checks.py": {
        "codec='json'": f"{_ADVICE}test_text_that_names_a_file_and_nothing_at_all",
        "staging=FOLDER": _TABLE,
        "components={'{}_vecnormalize': agent.get_env()}": f"{_E2E}test_agents_behind_wrappers.py::"
        "test_an_agent_without_what_it_was_trained_behind_is_refused",
    },
    "storage/aws_settings.py": {
        "`aws configure --profile NAME`": "a program of Amazon, which asks for keys",
        "engine='obstore'": f"{_E2E}test_aws_settings.py::test_a_key_that_only_obstore_reads_is_refused_by_the_other_engine",
        "s3_additional_kwargs={'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': ...}": _TABLE,
    },
    "storage/connections.py": {
        "storage_options={'client_kwargs': {'verify': 'FILE'}}": f"{_E2E}test_no_connection.py::test_an_unknown_authority_is_trusted_once_it_is_named_as_told",
        "engine='fsspec'": "OpenSSL takes such a certificate: seen by hand, and nothing of ours",
    },
    "storage/fsspec/backend.py": {
        "filesystem={}": "a repr",
        "--timeout": _COMMANDS,
        "concurrency='single-writer'": f"{_ADVICE}test_a_storage_without_conditions_is_used_by_one_writer",
    },
    "storage/http.py": {
        "storage_options={'requester_pays': True}": f"{_S3}test_a_bucket_whose_requesters_pay_is_used_once_the_option_is_given",
        "storage_options={'client_kwargs': {'region_name': {region}}}": f"{_S3}test_a_wrong_region_is_right_once_the_one_that_the_error_names_is_given",
        "storage_options={'client_kwargs': {'region_name': ...}}": f"{_S3}test_a_wrong_region_is_right_once_the_one_that_the_error_names_is_given",
        "`aws s3api get-bucket-location --bucket {bucket}`": f"{_S3}test_the_commands_of_amazon_do_what_they_are_said_to",
        "`aws s3api restore-object --bucket {bucket} --key {key} --restore-request Days=7`": f"{_S3}test_the_commands_of_amazon_do_what_they_are_said_to",
        "storage_options={'s3_additional_kwargs': {'ChecksumAlgorithm': 'SHA256'}}": f"{_S3}test_a_bucket_that_wants_checksums_gets_them_as_told",
        "storage_options={'s3_additional_kwargs': {'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': ...}}": f"{_S3}test_an_object_with_a_key_of_the_caller_is_read_with_it_as_told",
        "engine='fsspec'": f"{_S3}test_an_object_with_a_key_of_the_caller_is_read_with_it_as_told",
        "anon=True": f"{_S3}test_without_credentials_a_public_bucket_is_read_as_told",
        "`aws sso login`": "a program of Amazon, which opens a browser",
        "concurrency='single-writer'": f"{_S3}test_a_server_without_conditions_is_used_by_one_writer_as_told",
    },
    "storage/local/backend.py": {"concurrency='single-writer'": "tests/mounted.py makes such a store, as root"},
    "storage/local/checks.py": {"`{}`": "tests/integration/conformance/test_doctor.py: a remedy of doctor"},
    "storage/obstore/client.py": {
        "engine='fsspec'": "an environment without obstore: tests/integration/e2e/test_engines.py"
    },
    "storage/obstore/errors.py": {"engine='fsspec'": "keys of others, and faults within obstore: test_obstore.py"},
    "storage/obstore/options.py": {
        "engine='fsspec'": _TABLE,
        "use_ssl=False": _TABLE,
        "endpoint_url='http://...'": _TABLE,
    },
    "storage/obstore/refused.py": {"sig=...": "an example of what Azure shows"},
    "storage/obstore/runtime.py": {
        "engine='fsspec'": "tests/integration/e2e/test_forks.py works so in forked processes"
    },
    "storage/open.py": {"engine='auto'": _TABLE},
    "storage/option_names.py": {
        "anon=True": f"{_S3}test_without_credentials_a_public_bucket_is_read_as_told",
        "`gcloud auth application-default login`": "a program of Google, which opens a browser",
        "engine='fsspec'": f"{_S3}test_an_object_with_a_key_of_the_caller_is_read_with_it_as_told",
    }
    | dict.fromkeys(
        (
            "config_kwargs={'s3': {'addressing_style': 'virtual'}}",
            "config_kwargs={'s3': {'payload_signing_enabled': False}}",
            "s3_additional_kwargs={'ServerSideEncryption': ...}",
            "s3_additional_kwargs={'SSEKMSKeyId': ...}",
            "s3_additional_kwargs={'BucketKeyEnabled': True}",
            "s3_additional_kwargs={'ChecksumAlgorithm': ...}",
            "s3_additional_kwargs={'SSECustomerKey': ...}",
        ),
        "tests/integration/storage/test_cloud_options.py::test_an_option_of_obstore_gets_what_it_is_called_here_or_is_needless",
    ),
    "storage/patience.py": {"--timeout --min-rate": _COMMANDS},
    "storage/room.py": {"staging=FOLDER": _TABLE},
    "storage/s3fs/backend.py": {"bytes={}": "the header of a range"},
    "storage/s3fs/checks.py": {
        "--bucket --lifecycle-configuration": f"{_E2E}test_versioned_buckets.py: a remedy of doctor"
    },
    "storage/staging.py": {"staging={}": _TABLE, "staging=FOLDER": _TABLE},
    "storage/transfer.py": {
        "staging=FOLDER": _TABLE,
        "`artifact-store gc --apply`": "tests/integration/conformance/test_copying.py::"
        "test_what_a_save_left_under_the_same_id_is_no_part_of_the_run",
    },
    "store.py": {"signer=...": _TABLE},
}
"""By module and advice, the test that follows it, or why none does. Several options may stand together."""


@cache
def advices() -> frozenset[tuple[str, str]]:
    """Return each advice with its module."""
    return frozenset(_advices())


def _advices() -> Iterator[tuple[str, str]]:
    for path in sorted(_ROOT.rglob("*.py")):
        module = path.relative_to(_ROOT).as_posix()
        for text in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            for found in SNIPPET.finditer(text):
                yield module, found[0]


def followed_by(module: str, advice: str) -> str | None:
    """Return who follows an advice, or why nobody does."""
    whole = f"{module} | {advice}"
    for beginning, reason in ELSEWHERE.items():
        if whole.startswith(beginning):
            return reason
    return next((who for given, who in FOLLOWED.get(module, {}).items() if advice in SNIPPET.findall(given)), None)


def _texts(tree: ast.AST) -> Iterator[str]:
    """Yield the texts with a blank in them that are no docstring, and no help of the command line."""
    others: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            others.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            others |= {id(part) for part in ast.walk(node) if part is not node}
        if isinstance(node, ast.keyword) and node.arg in {"help", "short_help", "metavar", "epilog"}:
            others |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in others:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            template = "{{" in node.value  # of str.format
            yield node.value.replace("{{", "{").replace("}}", "}") if template else node.value
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
