"""Local registry report: print how the registry of this machine stands, and what was removed from it."""

from typing import TYPE_CHECKING

from cephtasks import console

if TYPE_CHECKING:
    from cephtasks.local_registry.garbage import Garbage
    from cephtasks.local_registry.standing import Standing


def standing(found: "Standing | None", as_json: bool) -> None:
    """Whether a registry is up, how it is reached, and what it holds."""
    if as_json:
        console.result_json(found.document() if found else {"up": False})
        return
    if found is None:
        console.result("no registry of ours was started")
        return
    terms = found.terms
    rows = [
        ("state", _state(found)),
        ("host", terms.host),
        ("listens at", terms.listens),
        ("tls", f"until {found.tls_until:%Y-%m-%d}" if found.tls_until else "no"),
        ("login", terms.htpasswd or "no"),
        ("mirror of", terms.mirror_of or "no"),
        ("repositories", str(found.repositories)),
        ("size", console.size(found.size)),
        ("data", str(found.data)),
        ("log", str(found.log)),
        ("started by", terms.command),
    ]
    console.table(("registry", ""), rows)


def collected(garbage: "Garbage", dry: bool, as_json: bool) -> None:
    """What was removed, or would be."""
    blobs, manifests = len(garbage.blobs), len(garbage.manifests)
    if as_json:
        console.result_json(
            {"bytes": garbage.bytes, "blobs": blobs, "manifests": manifests, "removed": not dry}
        )
        return
    told = f"{_count(blobs, 'blob')}, {_count(manifests, 'manifest')}"
    console.result(f"{'would free' if dry else 'freed'} {console.size(garbage.bytes)}: {told}")


def _state(found: "Standing") -> str:
    if not found.is_up:
        return "down"
    since = f"since {found.since:%Y-%m-%d %H:%M:%S}"
    return f"up {since}, but does not answer: {found.silent}" if found.silent else f"up {since}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
