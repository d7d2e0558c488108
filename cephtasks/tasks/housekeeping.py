"""Housekeeping: the tasks that change what registries hold."""

from cephtasks import console, keep_rules, platforms, reference
from cephtasks.tasks.reading import REACHED, repository_check
from cephtasks.tasks.session import Session
from cephtasks.tasks.typed import typed


@typed(
    *REACHED,
    positional=("src", "dst"),
    checks={"src": reference.parse, "dst": reference.parse, "platform": platforms.parse},
    src="the image, in any registry",
    dst="the name that it gets, in the same registry or another",
    platform="of several images only that for os/architecture[/variant] (default: all)",
)
def copy(run: Session, src: str, dst: str, platform: str = "", json: bool = False) -> None:
    """Copy an image from a registry to another, byte for byte."""
    from cephtasks.registry import copying
    from cephtasks.tasks import registry_report as report

    origin, target = reference.parse(src), reference.parse(dst)
    wanted = platforms.parse(platform) if platform else None
    source, sink = run.registry(origin.registry), run.registry(target.registry)
    with console.bars() as bars:
        copied = copying.copy(source, origin, sink, target, wanted, bars.update)
    report.copied(copied, json)


@typed(
    *REACHED,
    positional="reference",
    checks={"reference": reference.parse},
    reference="a tag, which goes alone, or a digest, which goes with all its tags",
    yes="delete a digest that tags lead to",
)
def delete(run: Session, reference: str, yes: bool = False) -> None:
    """Delete a tag of a registry, or by digest a manifest."""
    from cephtasks.reference import parse
    from cephtasks.registry import deletion

    named = parse(reference)
    client = run.registry(named.registry)
    if named.tag:
        deletion.delete_tag(client, named)
    else:
        deletion.delete_digest(client, named, confirmed=yes)
    console.result(str(named))


@typed(
    "REGISTRY",
    *REACHED,
    positional="repository",
    repeatable=["keep_matching"],
    checks={
        "repository": repository_check,
        "keep": keep_rules.count,
        "older_than": keep_rules.duration,
    },
    repository="a repository of REGISTRY, or host/repository",
    keep="keep so many of the newest images",
    keep_matching="keep tags that match this glob; may be given again and again",
    older_than="keep what is younger than this, as 36h, 14d or 2w",
    yes="do it; without this only what would go is shown",
)
def prune(
    run: Session,
    keep_matching: list[str],
    repository: str,
    keep: str = "",
    older_than: str = "",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Show which tags of a repository are old, and delete them with --yes."""
    from cephtasks.registry.housekeeping import carry_out, plan_prune
    from cephtasks.tasks import registry_report as report

    rules = keep_rules.KeepRules.read(keep, keep_matching, older_than)
    named = reference.parse_repository(repository, run.settings.registry)
    client = run.registry(named.registry)
    decided = plan_prune(client, named.repository, rules)
    if not json:
        report.prune(decided)
    if yes:
        carry_out(client, decided)
    elif decided.going:
        console.say("nothing is deleted without --yes")
    if json:
        console.result_json(decided.document(done=yes and not run.dry))
