"""Housekeeping: a real repository before and after it was pruned."""

from datetime import datetime
from pathlib import Path

import pytest

from cephtasks import oci
from cephtasks.errors import ImageNotInRegistry
from cephtasks.keep_rules import KeepRules
from cephtasks.reference import parse
from cephtasks.registry import Client, push
from cephtasks.registry.ages import created
from cephtasks.registry.contents import contents
from cephtasks.registry.housekeeping import carry_out, plan_prune
from cephtasks.registry.tags import tags
from cephtasks.store import Store
from lab.images import packed

_REPOSITORY = "housekeeping/pruned"


@pytest.fixture
def client(registry: str, tmp_path: Path) -> Client:
    """A client of a registry with a repository of five images, made in another order than their names'."""
    store = Store(tmp_path)
    client = Client(registry)
    for number, day in enumerate((3, 5, 1, 4, 2)):
        plain = packed(store, f"pruned {number}", [{"a": b"a"}, {f"{number}": b"b"}])
        document = {**plain.config_document, "created": f"2026-11-0{day}T10:00:00.123456789Z"}
        image = oci.image(oci.encode(document), plain.layers)
        store.put(image.config)
        push(client, parse(f"{registry}/{_REPOSITORY}:day{day}"), image, store.open)
        if day == 2:
            push(client, parse(f"{registry}/{_REPOSITORY}:stable"), image, store.open)
    push(client, parse(f"{registry}/{_REPOSITORY}:ageless"), plain, store.open)
    return client


def test_a_repository_is_pruned(client: Client) -> None:
    """The newest stay, and what is matched, and what has no age; the same again finds nothing to do."""
    rules = KeepRules(newest=2, matching=("stable",))
    with client:
        decided = plan_prune(client, _REPOSITORY, rules)
        assert sorted(verdict.tag for verdict in decided.going) == ["day1", "day2", "day3"]
        assert (decided.tags, len(decided.manifests)) == (("day2",), 2)
        assert len(tags(client, _REPOSITORY)) == 7
        carry_out(client, decided)
        assert tags(client, _REPOSITORY) == ["ageless", "day4", "day5", "stable"]
        (held,) = contents(client, [_REPOSITORY])
        assert held.tags["stable"] in held.manifests
        assert not plan_prune(client, _REPOSITORY, rules).going
        carry_out(client, decided)
        assert len(tags(client, _REPOSITORY)) == 4
        days = created(client, held)
        assert days[held.tags["day4"]] == datetime.fromisoformat("2026-11-04T10:00:00.123456+00:00")


def test_a_repository_that_is_not_there(registry: str) -> None:
    """It is told, and not taken for one in which nothing is to do."""
    with Client(registry) as client, pytest.raises(ImageNotInRegistry):
        plan_prune(client, "no/such", KeepRules(newest=1))
