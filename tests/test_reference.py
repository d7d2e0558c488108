"""References: what Docker and registries accept, and what they make of it."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cephtasks import reference
from cephtasks.errors import ReferenceInvalid
from cephtasks.reference import Reference, parse

SHA = "sha256:" + "f" * 64
HEX = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a"

components = st.from_regex(r"[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True)
repositories = st.lists(components, min_size=1, max_size=4).map("/".join)
hosts = st.from_regex(
    r"(?:[a-z0-9]{1,5}(?:-[a-z0-9]{1,3})?\.[a-z]{2,3}|localhost|[A-Z]{1,4}|\[::[a-f0-9]{1,4}\])(?::[1-9][0-9]{0,3})?",
    fullmatch=True,
)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)


@st.composite
def references(draw: st.DrawFn) -> Reference:
    """Any reference in its full form."""
    registry = draw(st.one_of(st.just("docker.io"), hosts))
    repository = draw(repositories)
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    digest = draw(st.none() | digests)
    tag = draw(tags) if digest is None else draw(st.none() | tags)
    return Reference(registry, repository, tag, digest)


@settings(deadline=None)
@given(references())
def test_a_reference_survives_being_written_and_read(expected: Reference) -> None:
    """Reading what a reference prints gives the same reference."""
    assert parse(str(expected)) == expected


@settings(deadline=None)
@given(references())
def test_the_familiar_form_names_the_same_image(expected: Reference) -> None:
    """Docker's short form is never read as another image, whatever its parts are called."""
    assert parse(expected.familiar) == expected


@settings(deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="ab.:/@-_[]A ", max_size=20))
def test_any_text_is_read_or_refused_as_a_usage_error(text: str) -> None:
    """No text ends in anything but a reference or ReferenceInvalid; what is read can be read again."""
    try:
        read = parse(text)
    except ReferenceInvalid as error:
        assert error.exit_code == 2
        return
    assert parse(str(read)) == read


# The names that distribution/reference's own tests list, and what they split into.
@pytest.mark.parametrize(
    ("text", "registry", "repository", "familiar"),
    [
        ("test_com/foo", "docker.io", "test_com/foo", "test_com/foo"),
        ("test.com/foo", "test.com", "foo", "test.com/foo"),
        ("test-com:8080/foo", "test-com:8080", "foo", "test-com:8080/foo"),
        ("docker/migrator", "docker.io", "docker/migrator", "docker/migrator"),
        ("foo", "docker.io", "library/foo", "foo"),
        ("library/foo", "docker.io", "library/foo", "foo"),
        ("docker.io/foo", "docker.io", "library/foo", "foo"),
        ("index.docker.io/library/debian", "docker.io", "library/debian", "debian"),
        ("docker.io/library/foo/bar", "docker.io", "library/foo/bar", "library/foo/bar"),
        ("other/library", "docker.io", "other/library", "other/library"),
        ("192.168.0.1", "docker.io", "library/192.168.0.1", "192.168.0.1"),
        (
            "127.0.0.1:8000/private/moonbase",
            "127.0.0.1:8000",
            "private/moonbase",
            "127.0.0.1:8000/private/moonbase",
        ),
        ("[fc00:1::7]:5000/library/foo", "[fc00:1::7]:5000", "library/foo", "[fc00:1::7]:5000/library/foo"),
        ("[2001:db8::1]/repo", "[2001:db8::1]", "repo", "[2001:db8::1]/repo"),
        ("localhost/ceph", "localhost", "ceph", "localhost/ceph"),
        ("Foo/bar", "Foo", "bar", "Foo/bar"),
        ("xn--n3h.com/myimage", "xn--n3h.com", "myimage", "xn--n3h.com/myimage"),
        ("docker---rules/docker", "docker.io", "docker---rules/docker", "docker---rules/docker"),
        ("dock__er/docker", "docker.io", "dock__er/docker", "dock__er/docker"),
        (f"docker.io/{HEX}", "docker.io", f"library/{HEX}", HEX),
        ("docker.io/a.b/c", "docker.io", "a.b/c", "docker.io/a.b/c"),
        ("docker.io/localhost/c", "docker.io", "localhost/c", "docker.io/localhost/c"),
    ],
)
def test_names_split_as_docker_splits_them(text: str, registry: str, repository: str, familiar: str) -> None:
    """Host and repository are told apart by Docker's rule; the short form leaves out what goes unsaid."""
    read = parse(text)
    assert (read.registry, read.repository, read.tag, read.digest) == (registry, repository, "latest", None)
    assert read.familiar == f"{familiar}:latest"


@pytest.mark.parametrize(
    ("text", "tag", "digest"),
    [
        ("test:5000/repo:tag", "tag", None),
        ("lowercase:Uppercase", "Uppercase", None),
        ("192.168.1.1:5000/repo:5050", "5050", None),
        ("test.com:5000", "5000", None),
        (f"test:5000/repo@{SHA}", None, SHA),
        (f"test:5000/repo:tag@{SHA}", "tag", SHA),
        ("a:" + "t" * 128, "t" * 128, None),
    ],
)
def test_tag_and_digest_are_told_apart(text: str, tag: str | None, digest: str | None) -> None:
    """What follows the name is a tag, a digest, or both; a digest needs no tag."""
    read = parse(text)
    assert (read.tag, read.digest) == (tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":justtag",
        f"@{SHA}",
        "repo@sha256:" + "f" * 34,
        "validname@invaliddigest:" + "f" * 64,
        "repo@sha512:" + "f" * 128,
        "repo@sha256:" + "F" * 64,
        "Uppercase:tag",
        "test:5000/Uppercase/lowercase:tag",
        "docker/Docker",
        "https://github.com/docker/docker",
        "-docker/docker",
        "docker-/docker",
        "docker///docker",
        "docker/",
        "/docker",
        "dock..er/docker",
        "dock_.er/docker",
        "_docker/_docker",
        "aa/asdf$$^/aa",
        "[fc00::1]:5000",
        "fc00::1:5000/debian",
        "[fe80::1%eth0]:5000/debian",
        "a/" * 128 + "a:tag",
        "a:" + "t" * 129,
        "a b",
        "ceph\n",
        "cäph",
        HEX,
        "a__b.c/d",
        "localhost:0/ceph",
        "localhost:65536/ceph",
    ],
)
def test_what_docker_refuses_is_refused(text: str) -> None:
    """A text outside the grammar is a usage error that shows the text and what to write instead."""
    with pytest.raises(ReferenceInvalid) as caught:
        parse(text)
    assert repr(text) in caught.value.fact
    assert "\n" not in caught.value.fact
    assert "localhost:5000/ceph/daemon:latest" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("http://localhost:5000/ceph", "leave the scheme out"),
        ("ceph daemon", "it has white space"),
        ("ceph/Daemon", "no capital letters"),
        (HEX, "an image id"),
        ("localhost:99999/ceph", "from 1 to 65535"),
        ("x/" * 130 + "x", "more than 255 characters"),
    ],
)
def test_a_common_mistake_is_named(text: str, why: str) -> None:
    """The message says which rule was broken, where one of the usual ones was."""
    with pytest.raises(ReferenceInvalid, match=why):
        parse(text)


def test_the_manifest_is_asked_for_by_digest_before_tag() -> None:
    """`target` is the digest where there is one, else the tag."""
    assert parse(f"ceph:tag@{SHA}").target == SHA
    assert parse("ceph:tag").target == "tag"
    assert parse("ceph").target == "latest"
    assert str(parse("ceph/daemon:tag").with_digest(SHA)) == f"docker.io/ceph/daemon@{SHA}"


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("10.0.0.1", True),
        ("registry.example.com:443", True),
        ("http://localhost", False),
        ("localhost/ceph", False),
        ("localhost:", False),
        ("localhost:99999", False),
        ("-host", False),
        ("", False),
    ],
)
def test_a_registry_is_a_host_and_a_port(text: str, legal: bool) -> None:
    """A registry's name has no scheme and no path, and its port is one that can be."""
    assert reference.is_registry(text) is legal


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_ref_becomes_a_legal_tag(text: str) -> None:
    """Whatever a git ref is called, the tag made from it is legal; a legal one stays as it is."""
    made = reference.legal_tag(text)
    assert reference.is_tag(made)
    assert reference.legal_tag(made) == made


@settings(deadline=None)
@given(st.text(max_size=300) | st.from_regex(r"[a-z0-9/]{240,400}", fullmatch=True))
def test_any_ref_becomes_a_legal_image_name(text: str) -> None:
    """Whatever a git ref is called, and however long, the image name made from it can be read."""
    made = reference.legal_repository(f"ceph-heads/{text}")
    assert parse(made).repository in (made, f"library/{made}")
    assert reference.legal_repository(made) == made


@settings(deadline=None)
@given(repositories)
def test_a_legal_repository_stays_as_it_is(repository: str) -> None:
    """A name that is legal already is not touched."""
    assume(len(repository) < 200)
    assert reference.is_repository(repository)
    assert reference.legal_repository(repository) == repository


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ceph/daemon", "lab:5000/ceph/daemon"),
        ("daemon", "lab:5000/daemon"),
        ("localhost/ceph/daemon", "localhost/ceph/daemon"),
        ("other:5000/daemon", "other:5000/daemon"),
        ("docker.io/debian", "docker.io/library/debian"),
    ],
)
def test_a_repository_is_one_of_the_registry(text: str, name: str) -> None:
    """Unless a host stands before it."""
    read = reference.parse_repository(text, "lab:5000")
    assert (read.name, read.tag, read.digest) == (name, None, None)


@pytest.mark.parametrize("text", ["a/b:1", "a/b:latest", f"a/b@sha256:{'0' * 64}", "a/B", "", "x:1/a/b:1"])
def test_what_is_no_repository(text: str) -> None:
    """A tag or a digest would be ignored, so it is refused."""
    with pytest.raises(ReferenceInvalid):
        reference.parse_repository(text, "lab:5000")
