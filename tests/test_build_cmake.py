"""build-cmake, the builder image's command, in that image and on a small CMake tree."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from cephtasks.builder import OUR_BUILDER

BUILD_CMAKE = Path(__file__).resolve().parent.parent / "builders" / "debian" / "build-cmake"
LISTS = """
cmake_minimum_required(VERSION 3.16)
project(toy LANGUAGES CXX)
include(GNUInstallDirs)
option(WITH_EXTRA "install one more file" OFF)
set(WORD "none" CACHE STRING "a word")
add_library(toy STATIC toy.cc)
add_executable(hello hello.cc)
target_link_libraries(hello PRIVATE toy)
target_compile_definitions(hello PRIVATE WORD="${WORD}")
install(TARGETS hello toy)
install(FILES toy.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES toy.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES toy-config.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/toy)
install(FILES toy.conf DESTINATION ${CMAKE_INSTALL_SYSCONFDIR})
if(WITH_EXTRA)
  install(FILES toy.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/extra)
endif()
"""
HELLO = '#include <cstdio>\n#include "toy.h"\nint main() { std::puts(WORD); return toy(); }\n'
PROGRAM = {"usr/bin/hello", "etc/toy.conf"}
HEADERS = {
    "usr/include/toy.h",
    "usr/lib/x86_64-linux-gnu/libtoy.a",
    "usr/lib/x86_64-linux-gnu/pkgconfig/toy.pc",
    "usr/lib/x86_64-linux-gnu/cmake/toy/toy-config.cmake",
}
STRANGER = 12345


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A CMake tree that belongs to somebody who is unknown in the image."""
    folder = tmp_path / "toy"
    folder.mkdir()
    texts = {
        "CMakeLists.txt": LISTS,
        "hello.cc": HELLO,
        "toy.h": "int toy();\n",
        "toy.cc": "int toy() { return 0; }\n",
    }
    for name, text in {**texts, "toy.pc": "", "toy-config.cmake": "", "toy.conf": "one\n"}.items():
        (folder / name).write_text(text)
    for path in (folder, *folder.iterdir()):
        os.chown(path, STRANGER, STRANGER)
    return folder


def build(
    folder: Path, environment: Mapping[str, str] = {}, *volumes: str
) -> subprocess.CompletedProcess[str]:
    """Run build-cmake as it is called by the builder, as that somebody."""
    command = ["docker", "run", "--rm", "--network=none", f"--user={STRANGER}:{STRANGER}", "--workdir=/ceph"]
    command += [f"--volume={folder}:/ceph", f"--volume={BUILD_CMAKE}:/usr/local/bin/build-cmake:ro"]
    command += [f"--volume={volume}" for volume in volumes]
    variables = {"HOME": "/tmp", "SHA1_OR_REF": "", "GENERATE_DOCKER_IMAGE": "false", "BUILD_THREADS": "2"}
    command += [f"--env={name}={value}" for name, value in {**variables, **environment}.items()]
    return subprocess.run([*command, OUR_BUILDER, "build-cmake"], check=False, capture_output=True, text=True)


def built(
    folder: Path, environment: Mapping[str, str] = {}, *volumes: str
) -> subprocess.CompletedProcess[str]:
    """Run build-cmake where that must go well."""
    done = build(folder, environment, *volumes)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def installed(folder: Path) -> dict[str, bytes]:
    """The files of the install tree."""
    tree = folder / "build" / "install"
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_a_tree_is_configured_compiled_and_installed(toy: Path) -> None:
    """The first run configures; what is only for compiling stays out; all files are the caller's."""
    done = built(toy)
    assert "configuring /ceph" in done.stderr
    assert set(installed(toy)) == PROGRAM
    assert not any(
        "cmake" in path.name or path.name == "include" for path in (toy / "build/install").rglob("*")
    )
    assert {path.lstat().st_uid for path in (toy / "build").rglob("*")} == {STRANGER}
    cache = (toy / "build" / "CMakeCache.txt").read_text()
    assert "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo" in cache
    assert {path.name for path in toy.iterdir()} - {"build"} == {
        path.name for path in toy.iterdir() if path.is_file()
    }


def test_headers_are_installed_where_they_are_asked_for(toy: Path) -> None:
    """With INSTALL_HEADERS everything that CMake installs stays."""
    built(toy, {"INSTALL_HEADERS": "true"})
    assert set(installed(toy)) == PROGRAM | HEADERS


def test_a_second_run_changes_nothing(toy: Path) -> None:
    """Nothing is configured, compiled or installed again."""
    built(toy)
    before = installed(toy)
    done = built(toy, {"RECONFIGURE": "false"})
    assert "configuring" not in done.stderr
    assert "no work to do" in done.stdout
    assert "installed before" in done.stderr
    assert installed(toy) == before


def test_what_the_install_tree_lost_is_installed_again(toy: Path) -> None:
    """Though nothing is compiled; and so is a file that is installed just as it is in the source."""
    built(toy)
    before = installed(toy)
    (toy / "build/install/usr/bin/hello").unlink()
    built(toy)
    assert installed(toy) == before
    (toy / "build/install/usr/bin/hello").write_text("changed")
    built(toy)
    assert installed(toy) == before
    (toy / "toy.conf").write_text("two\n")
    assert "no work to do" in built(toy).stdout
    assert installed(toy)["etc/toy.conf"] == b"two\n"


def test_make_serves_where_there_is_no_ninja(toy: Path) -> None:
    """An image need not have it."""
    done = built(toy, {}, "/dev/null:/usr/bin/ninja")
    assert set(installed(toy)) == PROGRAM
    assert "[100%] Built target hello" in done.stdout


def test_link_jobs_are_apart(toy: Path) -> None:
    """ninja has a pool for them, of that depth."""
    built(toy, {"LINK_THREADS": "1"})
    rules = (toy / "build/CMakeFiles/rules.ninja").read_text()
    assert "pool links\n  depth = 1\n" in rules
    link = (toy / "build/build.ninja").read_text().partition("\nbuild hello: ")[2].partition("\nbuild ")[0]
    assert "  pool = links\n" in link


def test_a_tree_may_have_job_pools_of_its_own(toy: Path) -> None:
    """CMake then knows no others, and theirs hold."""
    (toy / "CMakeLists.txt").write_text(f"{LISTS}\nset_property(GLOBAL PROPERTY JOB_POOLS theirs=1)\n")
    built(toy, {"LINK_THREADS": "1"})
    assert set(installed(toy)) == PROGRAM
    assert "pool theirs\n" in (toy / "build/CMakeFiles/rules.ninja").read_text()


def test_configuring_again_compiles_nothing_again(toy: Path) -> None:
    """Only what another flag touches is compiled; a flag that is no longer given is forgotten."""
    built(toy, {"CONFIGURE_FLAGS": "-DWITH_EXTRA=ON"})
    assert "usr/share/extra/toy.conf" in installed(toy)
    done = built(toy, {"CONFIGURE_FLAGS": "", "RECONFIGURE": "true"})
    assert "no work to do" in done.stdout
    assert set(installed(toy)) == PROGRAM


def test_flags_may_be_quoted(toy: Path) -> None:
    """Words are split as a shell does, run nothing, and beat what build-cmake gives by itself."""
    flags = """-DCMAKE_BUILD_TYPE=Debug "-DWORD=two words" -DOTHER='$(touch /ceph/ran)`touch /ceph/ran`'"""
    built(toy, {"CONFIGURE_FLAGS": flags})
    assert b"two words" in installed(toy)["usr/bin/hello"]
    assert "CMAKE_BUILD_TYPE:STRING=Debug" in (toy / "build" / "CMakeCache.txt").read_text()
    assert not (toy / "ran").exists()


def test_clean_removes_the_build_folder_only(toy: Path) -> None:
    """What was built before goes, what lies beside it does not, and it is configured again."""
    built(toy)
    (toy / "build" / "left").write_text("over")
    (toy / "notes").write_text("mine")
    done = built(toy, {"CLEAN": "true", "RECONFIGURE": "false"})
    assert "configuring" in done.stderr
    assert not (toy / "build" / "left").exists()
    assert (toy / "notes").read_text() == "mine"


def test_what_is_no_longer_installed_goes(toy: Path) -> None:
    """The install tree is made afresh; nothing is left beside it."""
    built(toy)
    (toy / "CMakeLists.txt").write_text(LISTS.replace("install(FILES toy.conf", "# install(FILES toy.conf"))
    built(toy)
    assert set(installed(toy)) == PROGRAM - {"etc/toy.conf"}
    assert list((toy / "build").glob("install.*")) == []


def test_a_failed_install_leaves_the_old_tree(toy: Path) -> None:
    """CMake's exit code is passed on, and the next run mends everything."""
    built(toy)
    before = installed(toy)
    (toy / "CMakeLists.txt").write_text(f'{LISTS}\ninstall(CODE "message(FATAL_ERROR stop)")\n')
    assert build(toy).returncode == 1
    assert installed(toy) == before
    (toy / "CMakeLists.txt").write_text(LISTS)
    built(toy)
    assert installed(toy) == before
    assert list((toy / "build").glob("install.*")) == []


def test_an_install_that_was_stopped_between_two_names_is_taken_up(toy: Path) -> None:
    """Where only the set-aside tree is there, it is the install tree until the next one is whole."""
    built(toy)
    before = installed(toy)
    (toy / "build" / "install").rename(toy / "build" / "install.old")
    (toy / "CMakeLists.txt").write_text(f'{LISTS}\ninstall(CODE "message(FATAL_ERROR stop)")\n')
    assert build(toy).returncode == 1
    assert installed(toy) == before


def test_a_compile_error_is_passed_on(toy: Path) -> None:
    """ninja's exit code and the compiler's words come out, and the old install tree stays."""
    built(toy)
    before = installed(toy)
    (toy / "hello.cc").write_text("this is no C++\n")
    done = build(toy)
    assert done.returncode == 1
    assert "hello.cc:1:1: error" in done.stdout
    assert installed(toy) == before


def test_a_failed_configure_is_passed_on(toy: Path) -> None:
    """cmake's exit code and words come out, and nothing is compiled."""
    (toy / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.16)\nno_such_command()\n")
    done = build(toy)
    assert done.returncode == 1
    assert "no_such_command" in done.stderr
    assert "compiling" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        ({"RECONFIGURE": "maybe"}, "RECONFIGURE is 'maybe', not one of: auto true false"),
        ({"CLEAN": "yes"}, "CLEAN is 'yes'"),
        ({"INSTALL_HEADERS": "1"}, "INSTALL_HEADERS is '1'"),
        ({"BUILD_THREADS": "0"}, "BUILD_THREADS is '0', not a number of 1 or more"),
        ({"BUILD_THREADS": "$(touch ran)"}, "not a number"),
        ({"LINK_THREADS": "none"}, "LINK_THREADS is 'none', not a number of 1 or more"),
        ({"CONFIGURE_FLAGS": "-DA='open"}, "CONFIGURE_FLAGS cannot be split into words"),
        ({"GENERATE_DOCKER_IMAGE": "true"}, "images are made by invoke pack"),
    ],
)
def test_a_wrong_environment_is_told(toy: Path, environment: dict[str, str], fault: str) -> None:
    """Exit code 2, before anything is made."""
    done = build(toy, environment)
    assert (done.returncode, (toy / "build").exists()) == (2, False)
    assert fault in done.stderr


def test_a_folder_without_cmake_is_told(toy: Path) -> None:
    """It names the folder."""
    (toy / "CMakeLists.txt").unlink()
    done = build(toy)
    assert done.returncode == 2
    assert "there is no CMakeLists.txt in /ceph" in done.stderr
