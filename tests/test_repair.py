"""Repair, on real images in a real engine, with libraries that a build has and the image lacks."""

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cephtasks import repair, repairs, settings
from cephtasks.engine import Engine, EngineImage, RunSpec
from cephtasks.errors import CheckFailed, LibraryNotFound, NothingMends
from cephtasks.repair import Fixed
from cephtasks.store import Store
from lab.places import places
from lab.programs import BUSYBOX, compiled, image_of, library, runtime

CHANGES = ("ENV PATH=/usr/bin:/bin", 'ENTRYPOINT ["/entrypoint.sh"]', 'CMD ["status"]', "USER 1000")
OLD = "int st_old(void) {return 1;}"
NEW = f"{OLD} int st_new(void) {{return 1;}}"
VERSION = (
    '#include <stdio.h>\n%s int main(int count, char **words) {puts("version 2"); return count > 9 ? %s : 0;}'
)


@dataclass(frozen=True)
class Lab:
    """A build folder, and images to mend with it."""

    folder: Path
    engine: Engine
    name: str
    home: str

    @property
    def build(self) -> Path:
        return self.folder / "source" / "build"

    def program(self, tool: str, calls: str, *libraries: Path) -> Path:
        """A tool that is linked with some libraries, and would call a function of one."""
        source = VERSION % (f"int {calls}(void);", f"{calls}()")
        return compiled(self.folder / "bin" / tool, source, *libraries, "-Wl,--allow-shlib-undefined")

    def import_image(
        self, tools: Mapping[str, Path | str], libraries: Mapping[str, Path] | None = None
    ) -> EngineImage:
        """Give the name to an image with these tools and libraries."""
        compiled_tools = [tool for tool in tools.values() if isinstance(tool, Path)]
        files: dict[str, bytes | str | Path] = dict(runtime(*compiled_tools))
        files |= {f"usr/bin/{name}": tool for name, tool in tools.items()}
        files |= {f"{self.home}/{name}": path for name, path in (libraries or {}).items()}
        files["bin/busybox"] = Path("/bin/busybox")
        image_of(self.engine, self.name, files, BUSYBOX, CHANGES)
        return self.image

    @property
    def image(self) -> EngineImage:
        return self.engine.require_image(self.name, "")

    def fix(self, tools: str, engine: Engine | None = None, **values: str) -> Fixed:
        """Do what `invoke fix` does, in a state folder of the lab's own."""
        given = {
            "SOURCE_DIR": str(self.folder / "source"),
            "STATE_DIR": str(self.folder / "state"),
            "IMAGE_NAME": self.name,
            "CHECK_TOOLS": tools,
            **values,
        }
        store = Store(self.folder / "state" / "images")
        return repair.fix(settings.load(given, environment={}), places(engine or self.engine, store))

    def files(self, folder: str) -> list[str]:
        """What a container sees in a folder."""
        seen = bytearray()
        spec = RunSpec(self.name, ("-c", f"for file in /{folder}/*; do echo ${{file##*/}}; done"), ("sh",))
        self.engine.run(spec, seen.extend, seen.extend)
        return seen.decode().split()


@pytest.fixture
def lab(tmp_path: Path, engine: Engine) -> Iterator[Lab]:
    """A lab whose image goes with it."""
    probe = compiled(tmp_path / "probe", "int main(void) {return 0;}")
    home = next(path for path in runtime(probe) if path.endswith("/libc.so.6")).rpartition("/")[0]
    made = Lab(tmp_path, engine, f"cephtasks-test/fix-{uuid.uuid4().hex[:12]}:latest", home)
    (made.build / "lib").mkdir(parents=True)
    yield made
    if engine.image(made.name) is not None:
        engine.untag(made.name)


@pytest.fixture
def broken(lab: Lab) -> EngineImage:
    """An image whose rados needs a symbol that only the libst of the build has."""
    old = library(lab.folder / "old/libst.so.1.0.0", "libst.so.1", OLD)
    new = library(lab.build / "lib/libst.so.1.0.0", "libst.so.1", NEW)
    return lab.import_image({"rados": lab.program("rados", "st_new", new)}, {"libst.so.1": old})


def test_a_symbol_that_a_library_lacks(
    lab: Lab, broken: EngineImage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library of the build takes the place of the old one, in one layer; the tool starts."""
    fixed = lab.fix("rados")
    assert [(finding.tool, finding.ok, finding.detail) for finding in fixed.findings] == [
        ("rados", True, "version 2")
    ]
    assert lab.image.diff_ids[:-1] == broken.diff_ids
    (placement,) = fixed.repair.placements
    assert placement.path == f"{lab.home}/libst.so.1"
    told = capsys.readouterr().err
    assert f"goes to /{lab.home}/libst.so.1: rados needs its st_new" in told
    assert "rados: undefined symbol: " in told


def test_the_rest_of_the_image_stays(lab: Lab, broken: EngineImage) -> None:
    """Entrypoint, command, environment and user are the image's; no file beside the library is new."""
    before = lab.files(lab.home)
    lab.fix("rados")
    assert lab.files(lab.home) == before
    inspect = ["docker", "image", "inspect", "--format={{json .Config}}"]
    command = [*inspect, broken.id, lab.name]
    seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    first, second = map(json.loads, seen.splitlines())
    noted = repairs.read(second.pop("Labels"))
    first.pop("Labels", None)
    assert second == first
    assert noted.files == {f"{lab.home}/libst.so.1": "build/lib/libst.so.1.0.0"}


def test_the_store_and_the_engine_have_the_same_image(lab: Lab, broken: EngineImage) -> None:
    """So that push sends what was checked."""
    lab.fix("rados")
    kept = Store(lab.folder / "state" / "images").require_image(lab.name)
    assert kept.id == lab.image.id != broken.id


def test_the_same_repair_is_the_same_image(lab: Lab, broken: EngineImage) -> None:
    """Whenever it is made."""
    lab.fix("rados")
    once = lab.image.id
    lab.engine.tag(broken.id, lab.name)
    lab.fix("rados")
    assert lab.image.id == once


def test_an_image_that_is_well_is_not_touched(
    lab: Lab, broken: EngineImage, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second fix adds nothing, even where FIX_LIBS names a library."""
    lab.fix("rados")
    mended = lab.image.id
    fixed = lab.fix("rados", FIX_LIBS="libst*")
    assert lab.image.id == mended != broken.id
    assert (fixed.name, fixed.repair.placements) == (lab.name, ())
    assert f"nothing is wrong with {lab.name}" in capsys.readouterr().err


def test_missing_libraries_come_with_what_they_need(lab: Lab) -> None:
    """All at once, though a loader tells one at a time; each with its soname's link."""
    common = library(lab.build / "lib/libcommon.so.2.0.0", "libcommon.so.2", "int common(void) {return 1;}")
    source = f"int common(void); {OLD} int st_new(void) {{return common();}}"
    striper = library(lab.build / "lib/libst.so.1.0.0", "libst.so.1", source, common)
    lab.import_image({"rados": lab.program("rados", "st_new", striper)})
    fixed = lab.fix("rados")
    assert fixed.findings[0].ok
    assert {"libcommon.so.2", "libcommon.so.2.0.0", "libst.so.1", "libst.so.1.0.0"} <= {
        *lab.files(lab.home),
        *lab.files(lab.home.replace("lib/", "usr/lib/", 1)),
    }


def test_troubles_that_show_one_after_the_other(lab: Lab) -> None:
    """A tool that opens a plugin, whose library is missing too: two rounds, and still one layer."""
    inner = library(lab.build / "lib/libin.so.2", "libin.so.2", "int in(void) {return 1;}")
    library(lab.build / "lib/libplugin.so.1", "libplugin.so.1", "int plugin(void) {return 1;}")
    opens = """
        #include <dlfcn.h>
        #include <stdio.h>
        int in(void);
        int main(void) {
            if (!dlopen("libplugin.so.1", RTLD_NOW)) {fprintf(stderr, "%s\\n", dlerror()); return 1;}
            return 1 - in();
        }
    """
    before = lab.import_image({"ceph-osd": compiled(lab.folder / "bin/ceph-osd", opens, inner)})
    fixed = lab.fix("ceph-osd")
    assert [item.candidate.soname for item in fixed.repair.placements] == ["libin.so.2", "libplugin.so.1"]
    assert lab.image.diff_ids[:-1] == before.diff_ids


def test_what_nothing_mends_stays_as_it_was(
    lab: Lab, broken: EngineImage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is told."""
    (lab.build / "lib/libst.so.1.0.0").unlink()
    with pytest.raises(NothingMends, match=f"nothing in the build mends rados of {lab.name}"):
        lab.fix("rados")
    assert lab.image.id == broken.id
    assert "not mended: rados: no library of the build defines st_new" in capsys.readouterr().err


def test_a_part_that_can_be_mended_is_kept(lab: Lab) -> None:
    """What is left to do is told, and the exit code is that of a failure."""
    old = library(lab.folder / "old/libst.so.1.0.0", "libst.so.1", OLD)
    new = library(lab.build / "lib/libst.so.1.0.0", "libst.so.1", NEW)
    tools: dict[str, Path | str] = {
        "ceph": "#!/usr/bin/python9\n",
        "rados": lab.program("rados", "st_new", new),
    }
    before = lab.import_image(tools, {"libst.so.1": old})
    with pytest.raises(CheckFailed, match=r"mended in part, not well are ceph \(not found\)") as caught:
        lab.fix("rados ceph")
    assert caught.value.exit_code == 1
    assert lab.image.diff_ids[:-1] == before.diff_ids


def test_a_repair_that_breaks_another_tool_is_taken_back(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library of the build dropped what another tool of the image uses."""
    old = library(lab.folder / "old/libst.so.1.0.0", "libst.so.1", OLD)
    new = library(lab.build / "lib/libst.so.1.0.0", "libst.so.1", "int st_new(void) {return 1;}")
    tools = {"rados": lab.program("rados", "st_new", new), "rbd": lab.program("rbd", "st_old", old)}
    before = lab.import_image(tools, {"libst.so.1": old})
    with pytest.raises(NothingMends, match="nothing in the build, with all that was tried, mends rados"):
        lab.fix("rados rbd")
    assert lab.image.id == before.id
    assert Store(lab.folder / "state" / "images").require_image(lab.name).id == before.id
    assert "goes to" in capsys.readouterr().err


def test_a_library_of_another_class_in_the_way(lab: Lab) -> None:
    """It gives way to the one of the build."""
    small = library(lab.folder / "32/libst.so.1", "libst.so.1", OLD, "-m32", "-nostdlib")
    new = library(lab.build / "lib/libst.so.1.0.0", "libst.so.1", NEW)
    lab.import_image({"rados": lab.program("rados", "st_new", new)}, {"libst.so.1": small})
    assert lab.fix("rados").findings[0].ok


def test_named_libraries_are_added(lab: Lab, broken: EngineImage) -> None:
    """FIX_LIBS says which, and nothing else is looked for."""
    library(lab.build / "lib/libmore.so.1", "libmore.so.1", "int more(void) {return 1;}")
    fixed = lab.fix("rados", FIX_LIBS="libst.so.1 libmore*")
    assert sorted(item.candidate.soname for item in fixed.repair.placements) == ["libmore.so.1", "libst.so.1"]


def test_a_named_library_that_is_not_built_is_told(lab: Lab, broken: EngineImage) -> None:
    """And the image stays as it was."""
    with pytest.raises(LibraryNotFound, match=r"no library of the build is named libno\*"):
        lab.fix("rados", FIX_LIBS="libno*")
    assert lab.image.id == broken.id


def test_a_dry_run_plans_and_changes_nothing(
    lab: Lab, broken: EngineImage, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes where, and why, is told."""
    dry = Engine.connect(dry=True)
    try:
        fixed = lab.fix("rados", dry)
    finally:
        dry.close()
    assert len(fixed.repair.placements) == 1
    assert lab.image.id == broken.id
    assert "rados needs its st_new" in capsys.readouterr().err


def test_ctrl_c_leaves_the_image_as_it_was(lab: Lab) -> None:
    """Pressed while the mended tool is checked, which hangs in its new library."""
    source = f"#include <unistd.h>\n{NEW} __attribute__((constructor)) void begin(void) {{pause();}}"
    old = library(lab.folder / "old/libst.so.1.0.0", "libst.so.1", OLD)
    new = library(lab.build / "lib/libst.so.1.0.0", "libst.so.1", source)
    before = lab.import_image({"rados": lab.program("rados", "st_new", new)}, {"libst.so.1": old})

    def press() -> None:
        while lab.image.id == before.id:
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    user = threading.Thread(target=press)
    user.start()
    with pytest.raises(KeyboardInterrupt):
        lab.fix("rados")
    user.join()
    assert lab.image.id == before.id
