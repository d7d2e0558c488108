"""Files: what is in an image, seen through a container that is never started."""

import subprocess

from cephtasks.engine import LABEL, Engine
from lab.engines import tiny_image


def test_programs_are_found_in_the_images_path(engine: Engine, image_name: str) -> None:
    """Its own PATH counts, symlinks are programs too, and no container is left."""
    name = f"{image_name}:programs"
    tiny_image(engine, name, "ENV PATH=/opt/bin:/bin", files={"opt/bin/ccache": b"", "usr/bin/distcc": b""})
    image = engine.require_image(name, "")
    found = {program: engine.has_program(image, program) for program in ("ccache", "sh", "distcc", "none")}
    assert found == {"ccache": True, "sh": True, "distcc": False, "none": False}
    listing = [
        "docker",
        "ps",
        "--all",
        "--quiet",
        f"--filter=label={LABEL}=look",
        f"--filter=ancestor={name}",
    ]
    assert subprocess.run(listing, check=True, capture_output=True, text=True).stdout == ""


def test_an_image_without_a_path_has_the_usual_one(engine: Engine, tiny: str) -> None:
    """As engines take it."""
    assert engine.has_program(engine.require_image(tiny, ""), "sh")
