"""Stores by name: what the files may say, which of them wins, and what a stranger's file cannot do."""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, PublicKey, Signer, errors
from artifact_store.cli.app import app
from artifact_store.configuration import files, named
from artifact_store.configuration.named import Configuration

pytestmark = pytest.mark.windows

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
ENDPOINT = 'url = "s3://bucket/models"\nendpoint_url = "https://minio.example:9000"\nregion = "eu-central-1"\n'


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project's folder with a folder below, in which this process works, and a user who has said nothing yet."""
    (tmp_path / "project" / "below").mkdir(parents=True)
    (tmp_path / "project" / ".git").mkdir()
    monkeypatch.chdir(tmp_path / "project" / "below")
    monkeypatch.setenv(files.USER, str(tmp_path / "user" / "artifact_store.toml"))
    for name in (named.URL, "ARTIFACT_STORE_CACHE", named.PASSWORD):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "project"


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def says(project):
    """Write the project's file."""
    return lambda text: write(project / files.FILE, text)


@pytest.fixture
def user_says(tmp_path):
    """Write the user's own file."""
    return lambda text: write(tmp_path / "user" / files.FILE, text)


def ran(*arguments, status=0, **environment):
    result = CliRunner(env=environment).invoke(app, [str(each) for each in arguments])
    assert result.exit_code == status, result.output
    return result


def document(*arguments, status=0, **environment):
    return json.loads(ran(*arguments, "--json", status=status, **environment).stdout)


# ---------------------------------------------------------------- what is meant


def test_a_store_has_its_name_in_python_and_on_the_command_line(says, project):
    says('[stores.lab]\nurl = "models"\n')
    with ArtifactStore.from_config("lab") as store:
        store.save({"n": 1}, "gru/X")
        assert Path(store.url) == project / "models"
    for said in (document("--store", "lab", "ls"), document("ls"), document("ls", ARTIFACT_STORE_URL="lab")):
        assert [model["key"] for model in said["models"]] == ["gru/X"]
    ran("cp", "lab", "elsewhere")
    assert document("--store", "elsewhere", "ls")["models"] == document("--store", "lab", "ls")["models"]
    assert document("validate", "--store", "lab", status=0)["store"] == str(project / "models")


def test_the_default_is_the_project_s_then_the_user_s_and_the_only_one_needs_none(says, user_says):
    assert Configuration().default is None
    user_says('default = "mine"\n[stores.mine]\nurl = "mine"\n[stores.other]\nurl = "other"\n')
    assert Configuration().default.value == "mine"
    says('[stores.lab]\nurl = "lab"\n')
    assert Configuration().default.value == "mine"
    says('default = "lab"\n[stores.lab]\nurl = "lab"\n')
    assert Configuration().default.value == "lab"
    user_says("")
    says('[stores.lab]\nurl = "lab"\n')
    assert Configuration().default.value == "lab"


def test_each_setting_comes_from_the_first_who_says_it(says, user_says, project, tmp_path):
    says('[stores.lab]\nurl = "models"\ntimeout = 7\n')
    user_says('[stores.lab]\ntimeout = 9\nmin_rate = 5.5\ncache = "kept"\n')
    found = Configuration().arguments("lab", Signer.from_pem)
    assert found == {
        "url": str(project / "models"),
        "timeout": 7,
        "min_rate": 5.5,
        "cache": str(tmp_path / "user" / "kept"),
    }
    store = ArtifactStore.from_config("lab", timeout=3.0)
    assert store.spec().timeout == 3.0
    assert store.spec().min_rate == 5.5
    assert ArtifactStore.from_config().spec().timeout == 7
    ran("--cache", tmp_path / "another", "cache", "ls")
    assert document("cache", "ls")["folder"] == str(tmp_path / "user" / "kept")
    assert document("cache", "ls", ARTIFACT_STORE_CACHE=str(tmp_path / "third"))["folder"] == str(tmp_path / "third")


def test_the_environment_names_a_store_or_a_place_where_no_argument_does(says, project, monkeypatch, tmp_path):
    says('default = "lab"\n[stores.lab]\nurl = "models"\n[stores.prod]\nurl = "prod"\n')
    monkeypatch.setenv(named.URL, "prod")
    assert Path(ArtifactStore.from_config().url) == project / "prod"
    assert Path(ArtifactStore.from_config("lab").url) == project / "models"
    monkeypatch.setenv(named.URL, str(tmp_path / "place"))
    assert Path(ArtifactStore.from_config().url) == tmp_path / "place"


def test_storage_options_are_joined_and_those_that_are_given_win(says, user_says):
    says('[stores.prod]\nurl = "s3://bucket/models"\nregion = "eu-central-1"\n')
    user_says('[stores.prod]\nprofile = "trading"\nstorage_options = {requester_pays = true}\n')
    given = {"requester_pays": False}
    options = named.opened_by("prod", {"storage_options": given})["storage_options"]
    assert options.plain() == {"region": "eu-central-1", "profile": "trading", "requester_pays": False}
    assert given == {"requester_pays": False}


def test_the_keys_of_the_user_sign_and_are_the_policy(user_says, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    ran("keygen", tmp_path / "own.key", ARTIFACT_STORE_KEY_PASSWORD="")
    own = next(path for path in tmp_path.glob("own*") if b"PRIVATE" in path.read_bytes())
    public = next(path for path in tmp_path.glob("own*") if b"PUBLIC" in path.read_bytes())
    user_says(
        f'[stores.mine]\nurl = "mine"\nsigner = "{own.as_posix()}"\n'
        f'trusted_keys = ["../{public.name}"]\nrequire_signature = true\n'
    )
    with ArtifactStore.from_config("mine") as store:
        store.save({"n": 1}, "gru/X")
        assert store.load("gru/X") == {"n": 1}
    with ArtifactStore(store.url) as plain:
        plain.save({"n": 2}, "gru/Y")
    with ArtifactStore.from_config("mine") as store, pytest.raises(errors.SignatureMissing):
        store.load("gru/Y")
    assert PublicKey.from_pem(public).key_id == Signer.from_pem(own).public_key.key_id
    assert document("ls")["models"]
    ran("get", "gru/Y", tmp_path / "out", status=10)


# ---------------------------------------------------------------- what is refused, and how it is said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[stores.lab\n", "is no TOML"),
        ("[lab]\nurl = 'x'\n", "names stores as [stores.NAME]"),
        ("stores = 5\n", "names stores as [stores.NAME]"),
        ("default = 5\n", "names stores as [stores.NAME]"),
        ("[stores]\nlab = 'x'\n", "a store is a table"),
        ('[stores."a b"]\nurl = "x"\n', "is no name of a store"),
        ("[stores.lab]\nurl = 5\n", "url of [stores.lab] is text"),
        ("[stores.lab]\ntimeout = true\n", "timeout of [stores.lab] is a whole number or a number"),
        ("[stores.lab]\nuri = 'x'\n", "'uri', and not one of url, endpoint_url"),
        ("[stores.lab]\nregion = 'evil.example/x'\n", "region of [stores.lab] is written as eu-central-1 is"),
        ("#" * (1 << 20) + "\n", "is larger than 1 MiB"),
    ],
)
def test_a_file_that_means_nothing_is_refused_with_its_path(says, text, said):
    path = says(text)
    with pytest.raises(errors.InvalidOption, match=re.escape(said)) as caught:
        Configuration()
    assert str(path) in str(caught.value)
    assert said in ran("ls", status=2).stderr


def test_a_file_that_is_none_is_refused_and_one_that_is_a_list_of_keys_too(user_says, tmp_path):
    user_says("[stores.lab]\ntrusted_keys = [5]\n")
    with pytest.raises(errors.InvalidOption, match="a list of paths"):
        Configuration()
    if os.name != "nt" and os.geteuid() != 0:
        user_says("").chmod(0)
        with pytest.raises(errors.InvalidOption, match="cannot be read"):
            Configuration()


@pytest.mark.parametrize("setting", sorted(files._OWN))
def test_a_project_s_file_decides_nothing_of_credentials_keys_policies_and_folders(says, user_says, setting):
    value = {"storage_options": "{key = 'k'}", "trusted_keys": "[]", "require_signature": "false"}.get(setting, "'x'")
    text = f"[stores.lab]\nurl = 'models'\n{setting} = {value}\n"
    says(text)
    with pytest.raises(errors.InvalidOption, match=f"{setting}, which a file that comes with a project"):
        ArtifactStore.from_config("lab")
    says("")
    assert Configuration(user_says(text).parent).names == [
        "lab"
    ]  # where it is the user's own file, whatever the folder


def test_a_name_that_no_file_has_is_refused_with_what_may_be_meant(says):
    with pytest.raises(errors.InvalidOption, match=re.escape("write [stores.NAME]")):
        ArtifactStore.from_config("lab")
    assert "Give --store URL, or set ARTIFACT_STORE_URL" in ran("ls", status=2).stderr
    says('[stores.lab]\nurl = "models"\n[stores.prod]\nurl = "prod"\n')
    with pytest.raises(errors.InvalidOption, match=r"did you mean prod\?"):
        ArtifactStore.from_config("prd")
    with pytest.raises(errors.InvalidOption, match="there are lab, prod"):
        ArtifactStore.from_config("elsewhere")
    assert "did you mean prod?; for a new folder write ./prd" in ran("--store", "prd", "ls", status=2).stderr
    assert "Name one of lab, prod" in ran("ls", status=2).stderr
    assert document("--store", "./prd", "ls")["models"] == []
    says("[stores.lab]\ntimeout = 5\n")
    with pytest.raises(errors.InvalidOption, match="nothing says where the store lab is"):
        ArtifactStore.from_config("lab")


def test_a_folder_of_the_same_name_is_not_taken_for_the_store(says, project):
    says('[stores.lab]\nurl = "models"\n')
    Path("lab").mkdir()
    assert "write ./lab for the folder" in ran("--store", "lab", "ls", status=2).stderr
    assert Path(ArtifactStore.from_config("lab").url) == project / "models"


def test_a_project_ends_at_its_repository_and_at_the_home(says, project, monkeypatch):
    outside = write(project.parent / files.FILE, '[stores.outside]\nurl = "x"\n')
    assert Configuration().project is None
    (project / ".git").rmdir()
    assert Configuration().project == outside
    monkeypatch.setattr(files, "at_home", lambda path: project if path == "~" else Path(path))
    assert Configuration().project is None

    def unknown(path):
        raise errors.InvalidOption("no home")

    monkeypatch.setattr(files, "at_home", unknown)
    assert files.project_file(project) == outside


def test_the_user_s_file_is_where_the_system_keeps_such_files(monkeypatch, tmp_path):
    monkeypatch.delenv(files.USER)
    variable = "APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME"
    monkeypatch.setenv(variable, str(tmp_path / "kept"))
    assert files.user_file() == tmp_path / "kept" / "artifact-store" / files.FILE
    monkeypatch.setenv(variable, "not whole")
    assert files.user_file() == Path.home() / ".config" / "artifact-store" / files.FILE


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such owner")
def test_a_file_that_another_user_put_above_is_refused(says, monkeypatch):
    says('[stores.lab]\nurl = "models"\n')
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4711)
    if os.getuid() == 0:
        os.chown(files.project_file(Path.cwd()), 4712, -1)
    with pytest.raises(errors.InvalidOption, match="belongs to another user"):
        Configuration()


# ---------------------------------------------------------------- endpoints


def test_nothing_is_sent_to_an_endpoint_of_a_project_before_the_user_has_allowed_it(says):
    says("[stores.prod]\n" + ENDPOINT)
    with pytest.raises(errors.EndpointNotAllowed, match="artifact-store config allow prod"):
        ArtifactStore.from_config("prod")
    assert "https://minio.example:9000" in ran("--store", "prod", "ls", status=10).stderr
    assert document("config")["stores"]["prod"]["endpoint_allowed"] is False
    assert "is not allowed yet" in ran("config").stdout
    ran("config", "allow", "prod")
    assert document("config")["stores"]["prod"]["endpoint_allowed"] is True
    store = ArtifactStore.from_config("prod", storage_options={"anon": True})
    assert store.spec().storage_options["endpoint_url"] == "https://minio.example:9000"


@pytest.mark.parametrize("change", ["endpoint_url", "url", "file"])
def test_another_endpoint_place_or_file_is_asked_for_anew(says, project, monkeypatch, change):
    says("[stores.prod]\n" + ENDPOINT)
    ran("config", "allow", "prod")
    if change == "file":
        says("")
        write(project / "below" / files.FILE, "[stores.prod]\n" + ENDPOINT)
    else:
        says("[stores.prod]\n" + ENDPOINT.replace(*{"url": ("/models", "/other")}.get(change, ("9000", "9001"))))
    with pytest.raises(errors.EndpointNotAllowed):
        ArtifactStore.from_config("prod")


def test_a_person_at_the_terminal_is_asked_once(says, monkeypatch):
    says("[stores.prod]\n" + ENDPOINT)
    configuration, asked = Configuration(), []

    def answer(said):
        return lambda question: asked.append(question) or said

    for said in (None, False):
        with pytest.raises(errors.EndpointNotAllowed):
            configuration.arguments("prod", Signer.from_pem, ask=answer(said))
    for _ in range(2):
        assert configuration.arguments("prod", Signer.from_pem, ask=answer(True))["url"] == "s3://bucket/models"
    assert len(asked) == 3
    assert all("https://minio.example:9000" in question for question in asked)


def test_a_url_with_a_host_of_its_own_is_asked_about_as_well_and_the_user_s_own_is_not(says, user_says):
    says('[stores.far]\nurl = "sftp://host.example/models"\n')
    assert Configuration().endpoint("far").endpoint == "sftp://host.example/models"
    says('[stores.far]\nurl = "S3://bucket"\n[stores.near]\nurl = "s3://bucket"\n[stores.here]\nurl = "models"\n')
    assert [Configuration().endpoint(name) is None for name in ("far", "near", "here")] == [False, True, True]
    says("")
    user_says("[stores.prod]\n" + ENDPOINT)
    assert Configuration().endpoint("prod") is None
    assert "takes no yes" in ran("config", "allow", "prod", status=2).stderr


@pytest.mark.parametrize(
    ("url", "is_far"),
    [
        ("/models", False),
        ("C:\\models", False),
        ("s3://bucket/models", False),
        ("file:///models", False),
        ("s3://bucket::https://host.example", True),
        ("file://models::sftp://host.example", True),
        ("https://host.example/models", True),
        ("\\\\host\\share", True),
        ("//host/share", True),
    ],
)
def test_what_names_a_host_of_its_own(url, is_far):
    assert named._is_far(url) is is_far


def test_a_project_does_not_move_a_store_of_the_user_s_unseen(says, user_says):
    user_says('[stores.prod]\nurl = "s3://own/models"\nprofile = "trading"\n')
    says('[stores.prod]\nurl = "s3://strange/models"\n')
    with pytest.raises(errors.EndpointNotAllowed, match="has the store prod at s3://strange/models, and you have not"):
        ArtifactStore.from_config("prod")
    ran("config", "allow", "prod")
    assert ArtifactStore.from_config("prod", storage_options={"region": "eu-central-1"}).url == "s3://strange/models"
    says('[stores.prod]\nurl = "s3://own/models"\n')
    assert Configuration().endpoint("prod") is None


def test_what_was_allowed_survives_no_damage_and_says_where_it_cannot_be_written(says, user_says, tmp_path):
    says("[stores.prod]\n" + ENDPOINT)
    ran("config", "allow", "prod")
    kept = tmp_path / "user" / "allowed-endpoints.json"
    assert [each["store"] for each in json.loads(kept.read_text(encoding="utf-8")).values()] == ["prod"]
    for damaged in ("[", "[]"):
        kept.write_text(damaged, encoding="utf-8")
        assert document("config")["stores"]["prod"]["endpoint_allowed"] is False
    kept.unlink()
    kept.mkdir()
    assert "cannot be written" in ran("config", "allow", "prod", status=2).stderr
    assert sorted(path.name for path in kept.parent.iterdir()) == ["allowed-endpoints.json"]


# ---------------------------------------------------------------- what is shown


def test_config_shows_where_each_setting_comes_from_and_no_credential(says, user_says, project, tmp_path):
    project_file = says('[stores.lab]\nurl = "models"\n')
    user_file = user_says(
        '[stores.lab]\nstorage_options = {key = "AKIAIOSFODNN7EXAMPLE", secret = "hunter2-hunter2"}\n'
    )
    for said in (ran("config").output, ran("config", "--json").output, repr(Configuration().files)):
        assert "hunter2" not in said
        assert "AKIA" not in said
    shown = document("config", ARTIFACT_STORE_URL="lab")
    assert shown["files"] == {"project": str(project_file), "user": str(user_file)}
    assert shown["environment"] == {"ARTIFACT_STORE_URL": "lab"}
    settings = shown["stores"]["lab"]["settings"]
    assert settings["url"] == {"value": str(project / "models"), "from": f"project {project_file}"}
    assert settings["storage_options"] == {
        "value": {"key": "(not shown)", "secret": "(not shown)"},
        "from": f"user {user_file}",
    }
    assert "the only one" in ran("config").stdout


def test_config_says_where_the_files_would_be(tmp_path):
    said = ran("config").stdout
    assert "none" in said
    assert f"{tmp_path / 'user' / files.FILE} (not there yet)" in said
    assert document("config") == {
        "files": {"project": None, "user": None},
        "default": None,
        "environment": {},
        "stores": {},
    }


def test_what_the_page_shows_is_so(says, user_says, project, monkeypatch):
    tomls = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    says(tomls[0])
    user_says(tomls[1])
    assert {name: each.value for name, each in Configuration().settings("prod").items()}["profile"] == "trading"
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/configuration.md", "exec"), {})
    listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \| (?:both|your own)", PAGE, re.MULTILINE)))
    assert sorted(listed) == sorted(files._PLACES | files._OWN)
