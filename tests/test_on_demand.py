"""LOAD_ON_DEMAND: the engine gets an image when a task needs it there, and the registry none the later."""

import subprocess
from pathlib import Path

import pytest

from cephtasks.engine import Engine
from cephtasks.reference import parse
from cephtasks.registry import Client, read
from cephtasks.store import Store
from lab.gates import gate
from lab.packing import PROGRAM, Packing, packing


@pytest.fixture
def lab(tiny: str, image_name: str, registry: str, tmp_path: Path) -> Packing:
    """A tree of one program, for a tiny base."""
    return packing(tmp_path, tiny, image_name, registry)


def typed(lab: Packing, *words: str, **more: str) -> str:
    """Type tasks that end well; what they tell on stderr."""
    done = lab.terminal.invoke("", *words, **{"LOAD_ON_DEMAND": "true", **more})
    assert done.returncode == 0, done.stderr
    return done.stderr


def pushed(lab: Packing, registry: str) -> str:
    """The id of the image that the registry has."""
    with Client(registry) as client:
        return read(client, parse(lab.target)).id


def test_a_push_needs_no_image_in_the_engine(lab: Packing, registry: str, engine: Engine) -> None:
    """A check after it does; what is there then is what was pushed, and later checks load nothing."""
    typed(lab, *lab.words, "push")
    assert engine.image(lab.name) is None
    told = typed(lab, "check")
    assert f"loading {lab.name} into the engine" in told
    assert engine.require_image(lab.name, "").id == pushed(lab, registry)
    assert "loading" not in typed(lab, "check")


def test_a_task_never_takes_the_image_before(lab: Packing, registry: str, engine: Engine) -> None:
    """The engine has that under the name until a task needs what was packed since."""
    typed(lab, *lab.words, "check")
    before = engine.require_image(lab.name, "").id
    lab.edit("second")
    typed(lab, *lab.words, "push")
    assert engine.require_image(lab.name, "").id == before
    typed(lab, "check")
    assert engine.require_image(lab.name, "").id == pushed(lab, registry) != before


def test_packing_again_without_it_loads(lab: Packing, engine: Engine) -> None:
    """No layer is written for that."""
    typed(lab, *lab.words)
    assert engine.image(lab.name) is None
    assert "0 written" in typed(lab, *lab.words, LOAD_ON_DEMAND="false")
    assert engine.image(lab.name) is not None


def test_a_tag_waits_too(lab: Packing, engine: Engine) -> None:
    """It is pushed from the store, and checked by its own name."""
    typed(lab, *lab.words, "tag", "push", lab.target)
    assert engine.image(lab.target) is None
    try:
        typed(lab, "check", lab.target)
        assert engine.image(lab.target) is not None
        assert engine.image(lab.name) is None
    finally:
        if engine.image(lab.target):
            engine.untag(lab.target)


def test_what_is_no_longer_awaited_is_pulled(lab: Packing, engine: Engine) -> None:
    """A name of a registry means what that has now, where the engine has nothing of that name."""
    typed(lab, *lab.words, "tag", "push", LOAD_ON_DEMAND="false")
    engine.untag(lab.target)
    try:
        assert f"pulling {lab.target}" in typed(lab, "check", lab.target)
    finally:
        if engine.image(lab.target):
            engine.untag(lab.target)


def test_a_dry_run_shows_the_load_and_does_nothing(lab: Packing, engine: Engine) -> None:
    """As it does for all that the engine is asked to do."""
    typed(lab, *lab.words)
    done = lab.terminal.invoke("--dry check")
    assert "docker load" in done.stderr.splitlines()
    assert engine.image(lab.name) is None


def test_what_the_engine_lost_is_loaded_again(lab: Packing, engine: Engine) -> None:
    """Also where the image was loaded when it was packed: `docker image rm` costs a load, no compiling."""
    typed(lab, *lab.words, LOAD_ON_DEMAND="false")
    packed = engine.require_image(lab.name, "").id
    engine.untag(lab.name)
    assert f"loading {lab.name} into the engine" in typed(lab, "check")
    assert engine.require_image(lab.name, "").id == packed


def test_a_load_that_failed_is_made_up_for(lab: Packing, engine: Engine) -> None:
    """The engine still has the image before; a check afterwards is of what was packed."""
    typed(lab, *lab.words, LOAD_ON_DEMAND="false")
    lab.edit("second")
    with gate(refuses=True) as refusing:
        failed = lab.terminal.invoke("", *lab.words, DOCKER_HOST=refusing.host)
    assert failed.returncode == 1
    typed(lab, "check")
    assert engine.require_image(lab.name, "").id == _stored(lab)


def test_what_somebody_else_gave_the_name_is_left(lab: Packing, tiny: str, engine: Engine) -> None:
    """A `docker tag` after the image was loaded counts."""
    typed(lab, *lab.words, LOAD_ON_DEMAND="false")
    engine.tag(tiny, lab.name)
    lab.terminal.invoke("check")
    assert engine.require_image(lab.name, "").id == engine.require_image(tiny, "").id != _stored(lab)


def test_debug_information_needs_no_engine_either(lab: Packing, registry: str, engine: Engine) -> None:
    """With STRIP there is one image on the other; each is loaded by whoever asks for it."""
    source, program = lab.terminal.folder / "osd.c", lab.tree / PROGRAM
    source.write_text('#include <stdio.h>\nint main(void) { return puts("osd") < 0; }\n')
    subprocess.run(["gcc", "-g3", "-static", "-Wl,--build-id", "-o", program, source], check=True)
    assert f"{lab.name}-debug" in typed(lab, *lab.words, "push", STRIP="true")
    assert [engine.image(name) for name in (lab.name, f"{lab.name}-debug")] == [None, None]
    assert pushed(lab, registry) == _stored(lab)
    assert "loading" in typed(lab, "check", f"{lab.name}-debug")
    with_debug = engine.require_image(f"{lab.name}-debug", "")
    typed(lab, "check")
    below = engine.require_image(lab.name, "").diff_ids
    assert with_debug.diff_ids[: len(below)] == below != with_debug.diff_ids


def _stored(lab: Packing) -> str:
    return Store(lab.terminal.folder / "state/images").require_image(lab.name).id
