"""Delivery, to a real engine: layers go there while they are written, the image once the store has it."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from cephtasks import layer, oci
from cephtasks.archive import Tar
from cephtasks.delivery import Delivery, deliver
from cephtasks.engine import Engine
from cephtasks.errors import TreeChanged
from cephtasks.oci import Image, Layer
from cephtasks.store import Store
from lab.layers import file, seen_by_container, tar

_PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Making:
    """An image of the store that is made of tars, bottom first."""

    store: Store
    tars: list[bytes]
    layers: list[Layer] = field(default_factory=list)

    def write(self) -> None:
        """Write the tars to the store."""
        for raw in self.tars:
            self.layers.append(self.store.put_layer(partial(layer.compress, [raw], compression="gzip")))

    @property
    def image(self) -> Image:
        """The image, once all is written."""
        rootfs = {"type": "layers", "diff_ids": [item.diff_id for item in self.layers]}
        return oci.image(oci.encode({"architecture": "amd64", "os": "linux", "rootfs": rootfs}), self.layers)


@pytest.fixture
def making(tmp_path: Path, image_name: str) -> Making:
    """An image of one layer that no other test has."""
    return Making(Store(tmp_path / "images"), [tar(file("mine", image_name.encode()))])


def _of(raw: bytes, sent: threading.Event | None = None) -> Tar:
    def pieces() -> Iterator[bytes]:
        yield raw
        if sent:
            sent.set()

    return Tar(len(raw), pieces)


def test_an_engine_is_sent_what_is_not_in_the_store_yet(
    making: Making, engine: Engine, image_name: str
) -> None:
    """It has all layers before one is written, and the image only once that is complete."""
    sent = threading.Event()
    with Delivery(making.store, engine, image_name, [], [_of(making.tars[0], sent)]) as delivery:
        assert sent.wait(_PATIENCE)
        assert engine.image(image_name) is None
        making.write()
        delivery.complete(making.image)
    delivery.wait()
    assert engine.require_image(image_name, "").id == making.image.id
    assert making.store.require_image(image_name) == making.image


def test_an_engine_forgets_what_was_not_completed(making: Making, engine: Engine, image_name: str) -> None:
    """A pack that fails leaves no image, neither there nor in the store."""
    sent = threading.Event()
    with (
        pytest.raises(TreeChanged),
        Delivery(making.store, engine, image_name, [], [_of(making.tars[0], sent)]) as delivery,
    ):
        assert sent.wait(_PATIENCE)
        raise TreeChanged("a file changed", "invoke pack")
    with pytest.raises(CancelledError):
        delivery.wait()
    assert engine.image(image_name) is None
    assert making.store.image(image_name) is None


def test_nothing_more_is_sent_once_a_pack_failed(making: Making, engine: Engine, image_name: str) -> None:
    """However much there is still to send."""
    begun = threading.Event()

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)
            begun.set()

    with (
        pytest.raises(TreeChanged),
        Delivery(making.store, engine, image_name, [], [Tar(1 << 50, endless)]) as delivery,
    ):
        assert begun.wait(_PATIENCE)
        raise TreeChanged("a file changed", "invoke pack")
    with pytest.raises(CancelledError):
        delivery.wait()


@pytest.mark.parametrize("sent", ["other bytes", "fewer bytes"])
def test_what_the_store_has_counts(making: Making, engine: Engine, image_name: str, sent: str) -> None:
    """A file that was another one when it was sent is sent again, as the store has it."""
    other = tar(file("mine", image_name.encode()[::-1]))

    def broken() -> Iterator[bytes]:
        yield other[:512]
        raise TreeChanged("a file changed", "invoke pack")

    above = [_of(other) if sent == "other bytes" else Tar(len(other), broken)]
    with Delivery(making.store, engine, image_name, [], above) as delivery:
        making.write()
        delivery.complete(making.image)
    delivery.wait()
    assert engine.require_image(image_name, "").id == making.image.id
    assert seen_by_container(image_name)["mine"].size == len(image_name)


def test_layers_below_are_sent_where_the_engine_lacks_them(
    making: Making, engine: Engine, image_name: str
) -> None:
    """And only there: with an image near by, whose layers it has, they need not be in the store."""
    making.write()
    below = list(making.layers)
    above = tar(file("above", b"a"))
    more = Making(making.store, [above], list(below))
    with Delivery(making.store, engine, image_name, below, [_of(above)]) as delivery:
        more.write()
        delivery.complete(more.image)
    delivery.wait()
    assert set(seen_by_container(image_name)) == {"mine", "above"}

    making.store.path(below[0].blob.digest).unlink()
    making.store.put_origin([below[0].blob], "registry.example/elsewhere")
    other = tar(file("other", b"o"))
    again = Making(making.store, [other], list(below))
    again.write()
    deliver(making.store, engine, again.image, f"{image_name}:other", near=[image_name])
    assert set(seen_by_container(f"{image_name}:other")) == {"mine", "other"}


def test_of_two_at_once_store_and_engine_keep_the_same(
    making: Making, engine: Engine, image_name: str
) -> None:
    """Whichever the engine has taken in last."""
    go_on = threading.Event()

    def late() -> Iterator[bytes]:
        assert go_on.wait(_PATIENCE)
        yield making.tars[0]

    other = Making(making.store, [tar(file("other", image_name.encode()))])
    other.write()
    above = [Tar(len(making.tars[0]), late)]
    with Delivery(making.store, engine, image_name, [], above) as delivery:
        making.write()
        delivery.complete(making.image)
    deliver(making.store, engine, other.image, image_name)
    go_on.set()
    delivery.wait()
    assert engine.image(making.image.id) is not None
    assert engine.require_image(image_name, "").id == other.image.id
    assert making.store.require_image(image_name) == other.image
