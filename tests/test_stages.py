"""Stages: what was done since an edit, in its order, and how long it took."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cephtasks.engine import Engine
from cephtasks.errors import CephtasksError
from cephtasks.stages import ORDER, Stage, Stages, latest, span
from lab.engines import tiny_image
from lab.terminal import Terminal


def test_a_step_is_remembered_until_it_is_taken_again(tmp_path: Path) -> None:
    """Each image has its own; a failure is remembered with its reason."""
    stages = Stages(tmp_path / "stages.json")
    with stages.timed("one", "compile") as edited:
        edited(12.5)
    with stages.timed("other", "pack"):
        pass
    with pytest.raises(CephtasksError), stages.timed("one", "push"):
        raise CephtasksError("no such registry", "a hint")
    edit, compiled, pushed = Stages(tmp_path / "stages.json").of("one")
    assert (edit.name, edit.began, edit.seconds) == ("edit", 12.5, 0)
    assert (compiled.name, compiled.error) == ("compile", "")
    assert (pushed.name, pushed.error) == ("push", "no such registry")
    assert edit.began < compiled.began <= compiled.ended <= pushed.began
    assert [stage.name for stage in stages.of("other")] == ["pack"]


def test_an_edit_is_of_the_compile_that_it_led_to(tmp_path: Path) -> None:
    """A later compile that has none, as all is committed by then, is not counted from it."""
    stages = Stages(tmp_path / "stages.json")
    for at in (12.5, None):
        with stages.timed("one", "compile") as edited:
            edited(at)
    assert [stage.name for stage in stages.of("one")] == ["compile"]


def test_a_step_that_was_stopped_is_told_so(tmp_path: Path) -> None:
    """It has not ended well."""
    stages = Stages(tmp_path / "stages.json")
    with pytest.raises(KeyboardInterrupt), stages.timed("one", "compile"):
        raise KeyboardInterrupt
    assert [stage.error for stage in stages.of("one")] == ["stopped"]
    assert [file.name for file in tmp_path.iterdir()] == ["stages.json"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"one": [{}]}', '{"one": 3}'])
def test_a_damaged_record_is_written_anew(tmp_path: Path, damage: str) -> None:
    """It costs the table, nothing else."""
    stages = Stages(tmp_path / "stages.json")
    stages.file.write_text(damage)
    assert stages.of("one") == ()
    with stages.timed("one", "pack"):
        pass
    assert [stage.name for stage in stages.of("one")] == ["pack"]


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    """A step that failed before it wrote anything leaves nothing behind."""
    with Stages(tmp_path / "state/stages.json").timed("one", "compile"):
        pass
    assert not (tmp_path / "state").exists()


def test_what_an_earlier_step_has_overtaken_is_left_out() -> None:
    """After another compile the push of before is not of this edit any more."""
    steps = [Stage("edit", 10), Stage("compile", 12, 3), Stage("push", 5, 1), Stage("nodes.pull", 20, 2)]
    taken = latest({step.name: step for step in steps})
    assert [step.name for step in taken] == ["edit", "compile", "nodes.pull"]
    assert span(taken) == 12


@given(st.dictionaries(st.sampled_from(ORDER), st.floats(0, 1e9)))
def test_what_is_left_is_in_its_order(began: dict[str, float]) -> None:
    """The steps begin one after the other, and the first of all is always among them."""
    taken = latest({name: Stage(name, at) for name, at in began.items()})
    assert [step.began for step in taken] == sorted(step.began for step in taken)
    assert [step.name for step in taken] == sorted((step.name for step in taken), key=ORDER.index)
    assert bool(taken) == bool(began)


def test_status_ends_with_the_steps_of_the_line(
    engine: Engine, image_name: str, registry: str, tmp_path: Path
) -> None:
    """One table from the pack to the push, with the time of each and of all; the same in JSON."""
    tiny_image(engine, f"{image_name}:base")
    (tmp_path / "tree/usr/bin").mkdir(parents=True)
    (tmp_path / "tree/usr/bin/tool").write_text("#!/bin/sh\n")
    terminal = Terminal(tmp_path)
    terminal.set(
        BASE_IMAGE=f"{image_name}:base",
        IMAGE_NAME=f"{image_name}:it",
        REGISTRY=registry,
        REPOSITORY=image_name,
        TAG="it",
        STATE_DIR=tmp_path / "state",
    )
    done = terminal.invoke("pack --tree tree push status")
    assert done.returncode == 0, done.stderr
    *_, head, packed, pushed, total = done.stdout.splitlines()
    assert head.split() == ["step", "began", "took"]
    assert (packed.split()[0], pushed.split()[0]) == ("pack", "push")
    assert total.startswith("pack to push: ")
    told = json.loads(terminal.invoke("status --json").stdout)["stages"]
    assert [stage["name"] for stage in told] == ["pack", "push"]
    assert terminal.invoke("--dry push").returncode == 0
    assert json.loads(terminal.invoke("status --json").stdout)["stages"] == told
    failed = terminal.invoke("push --registry localhost:1 status --registry localhost:1")
    assert failed.returncode == 1
    assert json.loads(terminal.invoke("status --json").stdout)["stages"][1]["error"]
