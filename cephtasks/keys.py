"""Keys: list the settings of a `.env`, each with its default and how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cephtasks import build_hosts, components, node_list, values


@dataclass(frozen=True)
class Key:
    """One setting: its name in `.env`, its default as written there, how it is read, what it is for.

    With `in_file` the value may be `@FILE`, or a path, and the text of that file is what is read.
    """

    name: str
    default: str
    read: Callable[[str], Any]
    comment: str
    shown_default: str = ""
    in_file: bool = False

    @property
    def attribute(self) -> str:
        """The name of the field of `Settings`."""
        return self.name.lower()

    @property
    def is_switch(self) -> bool:
        """Whether the setting is true or false."""
        return self.read is values.boolean


CEPH_TOOLS = "ceph ceph-fuse rados rbd ceph-mon ceph-osd ceph-mds ceph-mgr radosgw"

KEYS: tuple[Key, ...] = (
    Key("GIT_URL", "https://github.com/ceph/ceph.git", values.text, "where compile clones the source from"),
    Key(
        "SHA1_OR_REF",
        "remotes/origin/master",
        values.optional,
        "commit, tag or branch to build; empty: the source as it is",
    ),
    Key("CLONE_FILTER", "", values.clone_filter, "blob:none: fetch file contents when they are needed"),
    Key(
        "CLONE_DEPTH",
        "",
        values.optional_count,
        "how many commits of the history to fetch",
        shown_default="all of it",
    ),
    Key(
        "CLONE_REFERENCE",
        "",
        values.optional_path,
        "a clone of this host to share objects with, which must then stay",
    ),
    Key("SOURCE_DIR", "ceph", values.path, "the source tree on this host; mounted at /ceph in the builder"),
    Key(
        "BASE_IMAGE",
        "ceph/daemon:tag-build-master-jewel-ubuntu-14.04",
        values.image,
        "the image that the compiled files go onto",
    ),
    Key(
        "BASE_ALIAS", "ceph/daemon:latest", values.new_image, "the local name that fetch-base gives the base"
    ),
    Key("BUILDER_IMAGE", "cephbuilder/ceph:latest", values.image, "the image with the compilers"),
    Key("BUILD_COMMAND", "build-cmake", values.text, "what compile runs in the builder"),
    Key(
        "RECONFIGURE",
        "auto",
        values.choice("auto", "true", "false"),
        "run cmake's configure step; auto: when it never ran, or flags or toolchain changed",
    ),
    Key("CLEAN", "false", values.boolean, "remove the build folder before compiling"),
    Key("CONFIGURE_FLAGS", "-DWITH_TESTS=OFF", values.optional, "flags for the configure step"),
    Key(
        "BUILD_THREADS",
        "",
        values.optional_count,
        "compile jobs at once",
        shown_default="as many as the engine's cores and memory allow",
    ),
    Key(
        "MEMORY_PER_JOB",
        "2.5GiB",
        values.byte_size,
        "memory of one compile job, where BUILD_THREADS is not set; a link job gets twice that",
    ),
    Key(
        "COMPILER_LAUNCHER",
        "auto",
        values.choice("auto", "ccache", "sccache", "distcc", "icecc", "none"),
        "what compilers are started through; auto: ccache, where the builder image has it",
    ),
    Key(
        "BUILD_HOSTS",
        "",
        build_hosts.parse,
        "machines that compile too, each as HOST[:PORT][/SLOTS], where `builder.worker` runs",
    ),
    Key(
        "CCACHE_DIR",
        "",
        values.optional_path,
        "the folder that compiled objects are kept in, for all source trees",
        shown_default="cephtasks/ccache in the user's cache folder",
    ),
    Key("CCACHE_SIZE", "20GiB", values.byte_size, "how large that folder may grow"),
    Key(
        "BUILD_NETWORK",
        "default",
        values.choice("default", "none"),
        "the builder's network; none: for a tree that fetches nothing while it is built",
    ),
    Key("INSTALL_HEADERS", "false", values.boolean, "install the header files too"),
    Key(
        "IMAGE_NAME",
        "",
        values.optional_new_image,
        "the name of the image that pack makes",
        shown_default="ceph-heads/<SHA1_OR_REF>",
    ),
    Key("REGISTRY", "localhost:5000", values.registry, "the registry that push sends to, host[:port]"),
    Key("REPOSITORY", "ceph/daemon", values.repository, "the repository in the registry"),
    Key(
        "TAG",
        "",
        values.optional_tag,
        "the tag in the registry",
        shown_default="the last part of SHA1_OR_REF",
    ),
    Key(
        "CHECK_TOOLS",
        CEPH_TOOLS,
        values.command_lines,
        "tools that check starts, those that the image has; one with arguments stands in quotes",
    ),
    Key(
        "FIX_LIBS",
        "",
        values.words,
        "file name globs of the libraries that fix adds",
        shown_default="found by soname and symbol",
    ),
    Key("STATE_DIR", ".cephtasks", values.path, "images, logs and the demo's registry live here"),
    Key(
        "LAYER_COMPRESSION",
        "gzip",
        values.choice("gzip", "zstd"),
        "how layers are compressed; zstd needs engines of version 23 or later",
    ),
    Key(
        "STRIP",
        "false",
        values.boolean,
        "keep debug information out of the image, in a second one named TAG-debug",
    ),
    Key(
        "LOAD_ON_DEMAND",
        "false",
        values.boolean,
        "load the image into the engine when a task needs it there, not as pack makes it",
    ),
    Key(
        "COMPONENTS",
        "",
        components.parse,
        "parts of the tree that get layers of their own, as NAME=GLOB,GLOB",
        shown_default="those of Ceph",
    ),
    Key("REGISTRY_CA", "", values.optional_path, "file with the CA certificates of the registry"),
    Key(
        "REGISTRY_INSECURE",
        "",
        values.registries,
        "registries that may be reached by plain HTTP",
        shown_default="loopback only",
    ),
    Key(
        "CHUNK_SIZE",
        "",
        values.chunk_size,
        "how much of a layer push sends at once, as 8MiB",
        shown_default="all of it; less where a proxy refuses that",
    ),
    Key(
        "NODES",
        "",
        node_list.parse,
        "the cluster: host, ssh://user@host, tcp://host:2376, unix:///socket, node[01-16], or @FILE of these",
        in_file=True,
    ),
    Key(
        "NODES_CERTS",
        "~/.docker",
        values.path,
        "folder with ca.pem, cert.pem and key.pem for tcp:// nodes, or with such a folder named HOST",
    ),
    Key("AT_ONCE", "32", values.count, "how many nodes are worked on at once"),
    Key(
        "MON_IP",
        "127.0.0.1",
        values.ip_address,
        "the address of the monitor and all else that `start` starts",
    ),
    Key(
        "CEPH_NETWORK",
        "",
        values.optional_ip_network,
        "the network of that cluster and its clients, as 10.0.0.0/24",
        shown_default="MON_IP alone",
    ),
    Key(
        "CEPH_CONFIG_DIR",
        "",
        values.optional_path,
        "where `start` puts ceph.conf and the keyring, for clients on this host",
        shown_default="STATE_DIR/ceph",
    ),
)
