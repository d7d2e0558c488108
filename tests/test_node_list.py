"""Node lists: what NODES means, and all that is wrong with it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cephtasks import settings
from cephtasks.errors import SettingsInvalid
from cephtasks.node_list import MOST, Node, named, parse

HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


def urls(text: str) -> list[str]:
    """The URLs of a list."""
    return [node.url for node in parse(text)]


def faults(text: str) -> tuple[str, ...]:
    """What is wrong with a list."""
    with pytest.raises(ValueError) as caught:
        parse(text)
    return caught.value.args


@given(st.lists(HOSTS, unique=True), st.sampled_from([" ", ",", "\n", " ,\n", "# a comment\n"]))
def test_hosts_are_kept_in_their_order(hosts: list[str], between: str) -> None:
    """Whatever separates them; each is reached by ssh."""
    separator = between if between.strip() != "# a comment" else f" {between}"
    assert parse(separator.join(hosts)) == tuple(Node(host, f"ssh://{host}") for host in hosts)


@given(HOSTS, st.integers(0, 500), st.integers(0, 40), st.integers(1, 5))
def test_a_range_is_its_numbers_with_the_digits_of_its_first(
    host: str, first: int, more: int, width: int
) -> None:
    """`[08-10]` is 08, 09, 10."""
    expected = [f"ssh://{host}-{number:0{width}}.lab" for number in range(first, first + more + 1)]
    assert urls(f"{host}-[{first:0{width}}-{first + more}].lab") == expected


@given(
    st.lists(st.integers(0, 99), min_size=1, unique=True),
    st.lists(st.integers(0, 9), min_size=1, unique=True),
)
def test_brackets_combine(racks: list[int], nodes: list[int]) -> None:
    """Every number of one with every number of the other."""
    text = f"r[{','.join(map(str, racks))}]n[{','.join(map(str, nodes))}]"
    assert urls(text) == [f"ssh://r{rack}n{node}" for rack in racks for node in nodes]


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """With one line a fault, and never a node that stands twice."""
    try:
        nodes = parse(text)
    except ValueError as error:
        assert error.args
        assert all("\n" not in fault for fault in error.args)
    else:
        assert len({node.url for node in nodes}) == len(nodes) <= MOST


def test_every_kind_of_address_is_read() -> None:
    """With user, port and socket; Docker's own port where TLS has none; IPv6 is no range."""
    text = "a ceph@b ssh://ceph@c:2222/run/docker.sock tcp://d tcp://e:99 unix:///run/f ssh://[fe80::1]:22"
    assert urls(text) == [
        *("ssh://a", "ssh://ceph@b", "ssh://ceph@c:2222/run/docker.sock"),
        *("tcp://d:2376", "tcp://e:99", "unix:///run/f", "ssh://[fe80::1]:22"),
    ]


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("http://a", "no address of an engine"),
        ("tcp://a/path", "no address of an engine"),
        ("tcp://user@a", "no address of an engine"),
        ("unix://a", "no address of an engine"),
        ("unix:///", "no address of an engine"),
        ("ssh://-oProxyCommand=x", "no address of an engine"),
        ("ssh://-l@a", "no address of an engine"),
        ("a?b", "no address of an engine"),
        ("a:99999", "a port is a number"),
        ("a:0", "no address of an engine"),
        ("n[1", "no address of an engine"),
        ("n[3-1]", "the range 3-1 ends before it begins"),
        ("n[1-]", "not numbers and ranges"),
        ("n[0-99999999]", "has more than"),
    ],
)
def test_what_is_no_node_is_told(entry: str, fault: str) -> None:
    """The entry is quoted, with the reason."""
    (told,) = faults(entry)
    assert told.startswith(f"has {entry!r}: ")
    assert fault in told


def test_all_faults_are_told() -> None:
    """Not only the first."""
    assert len(faults("n[3-1] http://a b b")) == 3


def test_a_password_is_refused_and_not_quoted() -> None:
    """What may not stand in a file may not stand in a log either."""
    (told,) = faults("ssh://me:hush@a")
    assert "password" in told
    assert "hush" not in told


def test_one_engine_under_two_names_is_refused() -> None:
    """The default port, the default socket and capitals make no other engine."""
    assert faults("a a") == ("has a twice",)
    (told,) = faults("a ssh://A:22/var/run/docker.sock")
    assert told == "has ssh://A:22/var/run/docker.sock and a, which is the same"
    assert len(parse("a me@a a:2222")) == 3


def test_too_many_nodes_are_refused() -> None:
    """A slip of the pen does not fill the memory."""
    assert faults("r[1-900]n[1-900]") == (f"names more than {MOST} nodes",)


def test_of_many_nodes_only_some_are_named() -> None:
    """An error stays one line."""
    assert named(parse("n[1-2]")) == "n1, n2"
    assert named(parse("n[1-20]")).endswith(", n8 and 12 more")


def test_a_file_holds_the_nodes(tmp_path: Path) -> None:
    """`@FILE`, or a path, counted from the settings file; its faults are those of the setting."""
    (tmp_path / "lab.txt").write_text("node[1-2]  # the rack\n\n# node3\nroot@node4\n")
    for text in ("@lab.txt", "./lab.txt", str(tmp_path / "lab.txt")):
        (tmp_path / ".env").write_text(f'NODES="{text}"\n')
        read = settings.load(folder=tmp_path, environment={})
        assert [node.name for node in read.nodes] == ["node1", "node2", "root@node4"]
    (tmp_path / "lab.txt").write_text("n[2-1]\nb b\n")
    with pytest.raises(SettingsInvalid) as caught:
        settings.load(folder=tmp_path, environment={})
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "NODES has 'n[2-1]'",
        f"NODES has b twice ({tmp_path}/.env)",
    ]


def test_a_file_that_is_missing_is_a_wrong_setting(tmp_path: Path) -> None:
    """Before anything is started."""
    (tmp_path / ".env").write_text("NODES=@none.txt\n")
    with pytest.raises(SettingsInvalid, match=r"names the file .*none\.txt, which cannot be read: No such"):
        settings.load(folder=tmp_path, environment={})
