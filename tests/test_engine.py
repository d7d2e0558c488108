"""Engine, against a real one."""

from pathlib import Path

from cephtasks.engine import Engine, RunSpec
from lab.engines import node


def test_a_containers_output_and_exit_code_come_back(engine: Engine, tiny: str) -> None:
    """Stdout and stderr arrive apart, and the exit code is the command's."""
    out, err = bytearray(), bytearray()
    spec = RunSpec(tiny, ("-c", "echo one; echo two >&2; exit 3"), ("sh",))
    assert engine.run(spec, out.extend, err.extend).exit_code == 3
    assert (bytes(out), bytes(err)) == (b"one\n", b"two\n")


def test_a_node_has_an_empty_store(tmp_path: Path) -> None:
    """Nodes start with no image at all."""
    with node(tmp_path / "node") as made:
        assert made.docker("image", "ls", "--quiet").stdout == ""
