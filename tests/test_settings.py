"""Settings: who wins, what is refused, and what follows from what."""

import dataclasses
import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cephtasks import settings
from cephtasks.errors import EnvFileNotFound, EnvFileUnreadable, SettingsInvalid
from cephtasks.keys import KEYS
from cephtasks.settings import Settings
from lab.users import as_nobody, public_folder

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def load(folder: Path, env: str | bytes | None = None, **environment: str) -> Settings:
    """Settings from the text of a `.env` in a folder, and an environment."""
    if env is not None:
        (folder / ".env").write_bytes(env if isinstance(env, bytes) else env.encode())
    return settings.load(folder=folder, environment=environment)


def faults(folder: Path, env: str | None = None, **environment: str) -> tuple[str, ...]:
    """What is wrong with settings, one line each."""
    with pytest.raises(SettingsInvalid) as caught:
        load(folder, env, **environment)
    assert caught.value.exit_code == 2
    return caught.value.faults


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    """Each source hides those after it, and each value tells where it came from."""
    (tmp_path / ".env").write_text("GIT_URL=file\nTAG=file\nREPOSITORY=file/file\n")
    environment = {"GIT_URL": "environment", "TAG": "environment"}
    read = settings.load({"TAG": "flag"}, folder=tmp_path, environment=environment)
    shown = {name: (value, origin) for name, value, origin in read.shown()}
    assert shown["TAG"] == ("flag", "flag")
    assert shown["GIT_URL"] == ("environment", "environment")
    assert shown["REPOSITORY"] == ("file/file", str(tmp_path / ".env"))
    assert shown["REGISTRY"] == ("localhost:5000", "default")


def test_an_empty_value_in_the_environment_counts(tmp_path: Path) -> None:
    """What is set to nothing hides the file too, so `SHA1_OR_REF= invoke build` builds the tree as it is."""
    assert load(tmp_path, "SHA1_OR_REF=master\n", SHA1_OR_REF="").sha1_or_ref == ""


def test_every_setting_is_shown_in_the_order_of_the_example(tmp_path: Path) -> None:
    """Keys, fields of Settings and `.env.example` name the same settings."""
    names = [name for name, _, _ in load(tmp_path).shown()]
    assert names == [key.name for key in KEYS]
    fields = [field.name for field in dataclasses.fields(Settings)]
    assert [name.lower() for name in names] == fields[:-2]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """One run names every wrong setting, its value, and where that stands."""
    found = faults(
        tmp_path,
        "CLEAN=perhaps\nBASE_IMAGE=Ceph/Daemon\nLAYER_COMPRESSION=lzma\nTAG=a/b\nGIT_URL=\n",
        REGISTRY="http://localhost:5000",
        BUILD_THREADS="0",
    )
    assert [fault.split()[0] for fault in found] == [
        "GIT_URL",
        "BASE_IMAGE",
        "CLEAN",
        "BUILD_THREADS",
        "REGISTRY",
        "TAG",
        "LAYER_COMPRESSION",
    ]
    assert found[4] == "REGISTRY is 'http://localhost:5000', not a host or host:port (environment)"
    assert found[2] == f"CLEAN is 'perhaps', not true or false ({tmp_path / '.env'})"


def test_the_message_has_a_line_for_each_fault_and_a_hint(tmp_path: Path) -> None:
    """What is printed is one `error:` line a fault, and one `hint:` line."""
    with pytest.raises(SettingsInvalid) as caught:
        load(tmp_path, CLEAN="x", TAG="a b")
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "error", "hint"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_URL", " "),
        ("CLONE_FILTER", "tree:0"),
        ("CLONE_FILTER", "blob:limit="),
        ("CLONE_DEPTH", "0"),
        ("CLONE_DEPTH", "all"),
        ("CLONE_REFERENCE", "~nobody-has-this-name/ceph"),
        ("SOURCE_DIR", ""),
        ("SOURCE_DIR", "~nobody-has-this-name/ceph"),
        ("STATE_DIR", "a\0b"),
        ("BASE_IMAGE", ""),
        ("BASE_IMAGE", "ceph@sha256:12"),
        ("BASE_ALIAS", "ceph@sha256:" + "a" * 64),
        ("IMAGE_NAME", "ceph@sha256:" + "a" * 64),
        ("BUILD_COMMAND", ""),
        ("RECONFIGURE", "maybe"),
        ("RECONFIGURE", ""),
        ("CLEAN", "2"),
        ("BUILD_THREADS", "-1"),
        ("BUILD_THREADS", "²"),
        ("BUILD_THREADS", "two"),
        ("MEMORY_PER_JOB", "3"),
        ("MEMORY_PER_JOB", "0GiB"),
        ("CCACHE_SIZE", "much"),
        ("COMPILER_LAUNCHER", "gcc"),
        ("BUILD_NETWORK", "host"),
        ("REGISTRY", ""),
        ("REGISTRY", "localhost:5000/ceph"),
        ("REGISTRY", "localhost:70000"),
        ("REGISTRY_INSECURE", "localhost, http://other"),
        ("REPOSITORY", ""),
        ("REPOSITORY", "ceph/daemon:tag"),
        ("REPOSITORY", "/ceph"),
        ("TAG", "-x"),
        ("TAG", "x" * 129),
        ("LAYER_COMPRESSION", ""),
        ("CHECK_TOOLS", "ceph 'rados"),
        ("CHECK_TOOLS", "ceph ''"),
        ("CHECK_TOOLS", "ceph ' '"),
        ("CHECK_TOOLS", """ceph 'say "hello'"""),
        ("CHECK_TOOLS", "ceph\\"),
    ],
)
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, name: str, value: str) -> None:
    """Each setting names its own faults, in one line."""
    (fault,) = faults(tmp_path, **{name: value})
    assert fault.startswith(f"{name} ")
    assert fault.endswith("(environment)")
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True), ("Yes", True), ("1", True), ("on", True),
        ("false", False), ("NO", False), ("0", False), ("off", False), ("", False),
    ],
)  # fmt: skip
def test_true_and_false_have_their_usual_words(tmp_path: Path, text: str, expected: bool) -> None:
    """Switches are read in any case."""
    assert load(tmp_path, CLEAN=text).clean is expected


def test_a_clone_may_be_of_a_part(tmp_path: Path) -> None:
    """By contents and by history; by default it is whole."""
    read = load(tmp_path, CLONE_FILTER="blob:limit=100k", CLONE_DEPTH="3", CLONE_REFERENCE="there")
    assert (read.clone_filter, read.clone_depth, read.clone_reference) == (
        "blob:limit=100k",
        3,
        Path("there"),
    )
    read = load(tmp_path)
    assert (read.clone_filter, read.clone_depth, read.clone_reference) == ("", None, None)


def test_lists_are_separated_by_white_space_or_commas(tmp_path: Path) -> None:
    """FIX_LIBS and REGISTRY_INSECURE take both."""
    read = load(tmp_path, FIX_LIBS="librados*, libceph*\tx", REGISTRY_INSECURE="a:1,b:2")
    assert read.fix_libs == ("librados*", "libceph*", "x")
    assert read.registry_insecure == ("a:1", "b:2")


def test_a_tool_may_be_a_command_line_in_quotes(tmp_path: Path) -> None:
    """CHECK_TOOLS is read as a shell reads words, so a tool can have arguments, and a comma is a letter."""
    read = load(tmp_path, """CHECK_TOOLS="ceph rados 'leveldbutil dump' a,b"\n""")
    assert read.check_tools == ("ceph", "rados", "leveldbutil dump", "a,b")


def test_image_names_are_written_in_one_way(tmp_path: Path) -> None:
    """Docker's short form with the tag: one image has one name, whichever way it was typed."""
    read = load(tmp_path, BASE_IMAGE="docker.io/library/base", BASE_ALIAS="index.docker.io/ceph/daemon:x")
    assert (read.base_image, read.base_alias) == ("base", "ceph/daemon:x")


@pytest.mark.parametrize(
    ("ref", "image", "tag"),
    [
        ("remotes/origin/master", "ceph-heads/remotes/origin/master", "master"),
        ("v18.2.4", "ceph-heads/v18.2.4", "v18.2.4"),
        ("a" * 40, f"ceph-heads/{'a' * 40}", "a" * 40),
        ("remotes/origin/Wip-42#Fix", "ceph-heads/remotes/origin/wip-42-fix", "Wip-42-Fix"),
        ("wip_.x", "ceph-heads/wip-x", "wip_.x"),
        ("###", "ceph-heads", "latest"),
        ("", "ceph-heads/my-tree", "My-Tree"),
        ("b" * 300, f"ceph-heads/{'b' * 226}", "b" * 128),
    ],
)
def test_names_follow_from_the_ref(tmp_path: Path, ref: str, image: str, tag: str) -> None:
    """The image is called for the ref that it is made of, or for the source folder where there is no ref."""
    read = load(tmp_path, SHA1_OR_REF=ref, SOURCE_DIR=str(tmp_path / "My-Tree"))
    assert (read.image_name, read.tag) == (image, tag)


def test_names_that_were_set_do_not_follow_the_ref(tmp_path: Path) -> None:
    """IMAGE_NAME and TAG win over what would follow."""
    read = load(tmp_path, "IMAGE_NAME=mine/ceph:1\nTAG=two\n")
    assert (read.image_name, read.tag) == ("mine/ceph:1", "two")


def test_push_sends_to_registry_repository_and_tag(tmp_path: Path) -> None:
    """The target of a push is made of three settings."""
    assert load(tmp_path).target == "localhost:5000/ceph/daemon:master"


@hypothesis.settings(deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=300))
def test_any_ref_has_an_image_name_and_a_tag(ref: str) -> None:
    """No ref makes the settings fail."""
    read = settings.load(folder=Path("/nonexistent"), environment={"SHA1_OR_REF": ref})
    assert read.image_name.startswith("ceph-heads")
    assert read.tag


def test_paths_of_a_file_count_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in `.env` counts from there, one of the command line from where it was typed."""
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project" / ".env").write_text("SOURCE_DIR=tree\nREGISTRY_CA=ca.crt\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    read = settings.load(folder=tmp_path / "project", environment={"REGISTRY_CA": "ca.crt"})
    assert read.source_dir == tmp_path / "project" / "tree"
    assert read.state_dir == tmp_path / "project" / ".cephtasks"
    assert read.registry_ca == Path("ca.crt")


def test_paths_below_the_current_folder_are_shown_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages name `ceph`, not all the folders above it."""
    monkeypatch.chdir(tmp_path)
    read = settings.load(folder=tmp_path, environment={})
    assert (read.source_dir, read.state_dir) == (Path("ceph"), Path(".cephtasks"))


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` in `.env` means what it means in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(tmp_path, "SOURCE_DIR=~/ceph\n").source_dir == tmp_path / "ceph"


def test_symlinks_in_a_circle_are_a_fault(tmp_path: Path) -> None:
    """A path that leads nowhere is told as every other fault."""
    (tmp_path / "loop").symlink_to("loop")
    (fault,) = faults(tmp_path, "SOURCE_DIR=loop/ceph\n")
    assert "circle" in fault


def test_the_env_file_may_be_missing(tmp_path: Path) -> None:
    """Without a `.env` there are the defaults."""
    assert load(tmp_path).git_url == "https://github.com/ceph/ceph.git"


def test_the_environment_may_name_the_env_file(tmp_path: Path) -> None:
    """CEPHTASKS_ENV_FILE is read instead of `.env`, and `--env-file` instead of both."""
    for name in (".env", "a", "b"):
        (tmp_path / name).write_text(f"TAG=from{name}\n")
    environment = {"CEPHTASKS_ENV_FILE": str(tmp_path / "a")}
    assert settings.load(folder=tmp_path, environment=environment).tag == "froma"
    assert settings.load(None, tmp_path / "b", tmp_path, environment).tag == "fromb"


def test_a_named_env_file_must_exist(tmp_path: Path) -> None:
    """A file that was named and is not there is a usage error with a line to type."""
    with pytest.raises(EnvFileNotFound) as caught:
        settings.load(env_file=tmp_path / "my lab.env", folder=tmp_path, environment={})
    assert caught.value.exit_code == 2
    assert caught.value.fact == f"there is no settings file {tmp_path / 'my lab.env'}"
    assert caught.value.hint == f"cp .env.example '{tmp_path / 'my lab.env'}'"


def test_a_link_to_nowhere_is_not_taken_for_no_file(tmp_path: Path) -> None:
    """A `.env` that is a broken symlink is told, not passed over."""
    (tmp_path / ".env").symlink_to("gone")
    with pytest.raises(EnvFileNotFound):
        load(tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_is_no_env_file(tmp_path: Path, named: bool) -> None:
    """A folder in place of the file is named as such."""
    (tmp_path / ".env").mkdir()
    with pytest.raises(EnvFileUnreadable, match="Is a directory"):
        settings.load(None, tmp_path / ".env" if named else None, tmp_path, {})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are told, with no traceback."""
    with pytest.raises(EnvFileUnreadable, match="not UTF-8"):
        load(tmp_path, b"TAG=\xff\xfe\n")


@pytest.mark.parametrize("mode", [0o000, 0o700])
def test_a_file_that_may_not_be_read_is_refused(mode: int) -> None:
    """Whether the file or its folder is closed to us, the fault is the permission."""
    with public_folder() as folder:
        (folder / "closed").mkdir(mode=0o755 if mode == 0 else mode)
        (folder / "closed" / ".env").write_text("TAG=x\n")
        (folder / "closed" / ".env").chmod(0)
        if mode:
            (folder / "closed").chmod(0o000)
        with as_nobody(), pytest.raises(EnvFileUnreadable, match="Permission denied"):
            load(folder / "closed")
        (folder / "closed").chmod(0o755)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("TAG=plain", "plain"),
        ("  TAG = spaced  ", "spaced"),
        ("export TAG=exported", "exported"),
        ("TAG='quoted'", "quoted"),
        ('TAG="quoted" # with a comment', "quoted"),
        ("TAG=with # a comment", "with"),
        ("# TAG=no\nTAG=yes", "yes"),
        ("TAG=first\nTAG=last", "last"),
        ("TAG=windows\r\nCLEAN=true\r\n", "windows"),
        ("\ufeffTAG=marked", "marked"),
    ],
)
def test_env_files_are_read_as_people_write_them(tmp_path: Path, line: str, value: str) -> None:
    """Quotes, comments, `export`, Windows' line ends and a byte order mark all do."""
    assert load(tmp_path, f"{line}\n").tag == value


def test_a_dollar_sign_stays_one(tmp_path: Path) -> None:
    """Nothing is put in for `$NAME`: what compile gets is what stands in the file."""
    read = load(tmp_path, "CONFIGURE_FLAGS='-DX=$HOME/${Y}#1'\nBUILD_COMMAND=make#1\n")
    assert read.configure_flags == "-DX=$HOME/${Y}#1"
    assert read.build_command == "make#1"


def test_a_line_that_is_no_setting_is_a_fault(tmp_path: Path) -> None:
    """Such a line is told by its number, never by its text, which may be a secret."""
    found = faults(tmp_path, "TAG=x\nmy secret\n\nCLEAN\nGIT_URL='unterminated\nREGISTRY=/\n")
    file = tmp_path / ".env"
    assert found[:3] == (
        f"line 2 is not KEY=value ({file})",
        f"line 4 is not KEY=value ({file})",
        f"line 5 is not KEY=value ({file})",
    )
    assert found[3].startswith("REGISTRY is '/'")
    assert "secret" not in " ".join(found)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("SHA_OR_REF", "SHA1_OR_REF"), ("BASE_IMGE", "BASE_IMAGE"), ("check_tools", "CHECK_TOOLS"),
     ("BUILD_THREAD", "BUILD_THREADS"), ("REPOSTORY", "REPOSITORY")],
)  # fmt: skip
def test_a_misspelt_key_is_told_with_the_nearest(tmp_path: Path, written: str, meant: str) -> None:
    """A key that nothing reads, but looks like one of ours, is warned of by name."""
    (warning,) = load(tmp_path, f"{written}=x\n").warnings
    assert written in warning
    assert warning.endswith(f"did you mean {meant}?")


def test_keys_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    """A `.env` may hold what others read; our own switches are no misspelt keys either."""
    env = "DOCKER_HOST=x\nCCACHE_DIR=x\nNODES=a\nSTRIP=1\nHTTP_PROXY=x\nCEPHTASKS_DEBUG=1\n"
    assert load(tmp_path, env).warnings == ()


def test_the_example_is_what_the_settings_say() -> None:
    """`.env.example` is made from the keys; write it anew with `settings.example()` after a change."""
    assert EXAMPLE.read_text() == settings.example()


def test_the_example_copied_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cp .env.example .env` leaves every setting as it is, and warns of nothing."""
    monkeypatch.chdir(tmp_path)
    before = load(tmp_path)
    after = load(tmp_path, settings.example())
    assert after == before
    assert after.warnings == ()


def test_the_example_with_every_line_on_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults that are commented out can be written out too."""
    monkeypatch.chdir(tmp_path)
    names = {key.name for key in KEYS}
    lines = settings.example().splitlines()
    on = [line.removeprefix("# ") for line in lines if line.removeprefix("# ").partition("=")[0] in names]
    assert len(on) == len(KEYS)
    assert load(tmp_path, "\n".join(on)) == load(tmp_path)


@pytest.mark.parametrize(
    ("written", "size", "shown"),
    [
        ("3GiB", 3 * 1024**3, "3GiB"),
        ("2.5gi", 2.5 * 1024**3, "2.5GiB"),
        ("500MB", 500_000_000, "476.837MiB"),
        ("2k", 2000, "1.95312KiB"),
    ],
)
def test_sizes_have_units(tmp_path: Path, written: str, size: int, shown: str) -> None:
    """Units of 1000 and, with an i, of 1024; a size is shown as it could be written."""
    read = load(tmp_path, f"MEMORY_PER_JOB={written}\n").memory_per_job
    assert (read, str(read)) == (size, shown)


@pytest.mark.parametrize(("written", "size"), [("", None), ("8MiB", 8 << 20), ("64KiB", 1 << 16)])
def test_how_much_goes_into_one_request(tmp_path: Path, written: str, size: int | None) -> None:
    """A size, or nothing for all of it."""
    assert load(tmp_path, f"CHUNK_SIZE={written}\n").chunk_size == size


@pytest.mark.parametrize("written", ["1KiB", "8", "8XB", "-8MiB", "much"])
def test_what_no_request_is_cut_into(tmp_path: Path, written: str) -> None:
    """No size at all, or one that makes a million requests of a layer."""
    with pytest.raises(SettingsInvalid, match=f"CHUNK_SIZE is '{written}', "):
        load(tmp_path, f"CHUNK_SIZE={written}\n")


def test_settings_can_be_told_as_json(tmp_path: Path) -> None:
    """Every value has a JSON form, paths as their text."""
    document = {name: value for name, value, _ in load(tmp_path).shown()}
    assert json.loads(json.dumps(document, default=str))["SOURCE_DIR"] == str(tmp_path / "ceph")


def test_a_flags_fault_names_the_flag() -> None:
    """What is wrong on the command line is told by the flag that was typed."""
    key = next(key for key in KEYS if key.name == "BUILD_THREADS")
    with pytest.raises(SettingsInvalid) as caught:
        settings.check_flag(key, "many")
    assert caught.value.fact == "BUILD_THREADS is 'many', not a number of 1 or more (flag --build-threads)"


def test_another_run_can_be_given_one_file_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In that run's environment no setting hides the file's, and everything else is as here."""
    monkeypatch.setenv("TAG", "mine")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = settings.environment_for(tmp_path / "lab.env")
    assert "TAG" not in environment
    assert environment["LANG"] == "C.UTF-8"
    assert environment["CEPHTASKS_ENV_FILE"] == str(tmp_path / "lab.env")


def test_debugging_is_switched_on_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """CEPHTASKS_DEBUG=1 asks for tracebacks; unset or 0 does not."""
    monkeypatch.delenv("CEPHTASKS_DEBUG", raising=False)
    assert not settings.debugging()
    monkeypatch.setenv("CEPHTASKS_DEBUG", "1")
    assert settings.debugging()
    monkeypatch.setenv("CEPHTASKS_DEBUG", "0")
    assert not settings.debugging()
