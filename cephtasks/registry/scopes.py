"""Scopes: name what a login is to allow, by the grammar of distribution's token service.

Grammar: https://distribution.github.io/distribution/spec/auth/scope/
"""

from collections.abc import Sequence

Scopes = tuple[str, ...]

CATALOG_SCOPES: Scopes = ("registry:catalog:*",)


def push_scopes(repository: str) -> Scopes:
    """The scope of a login for everything that a push asks of its repository: one, so one token serves it."""
    return (f"repository:{repository}:pull,push",)


def pull_scopes(repository: str) -> Scopes:
    """The scope of a login for everything that is read of a repository."""
    return (f"repository:{repository}:pull",)


def delete_scopes(repository: str) -> Scopes:
    """The scope of a login for finding what a repository has, and deleting it."""
    return (f"repository:{repository}:pull,delete",)


def widened(asked: Sequence[str], wanted: str) -> Scopes:
    """The scopes asked for, and whatever a challenge wants besides (scopes between spaces)."""
    actions = dict(map(_parts, asked))
    for resource, others in map(_parts, wanted.split()):
        known = actions.setdefault(resource, ())
        if "*" not in known:
            actions[resource] = (*known, *(action for action in others if action not in known))
    return tuple(f"{resource}:{','.join(each)}" for resource, each in actions.items())


def _parts(scope: str) -> tuple[str, tuple[str, ...]]:
    """The resource, whose name may hold colons, and the actions."""
    resource, _, actions = scope.rpartition(":")
    return resource, tuple(actions.split(","))
