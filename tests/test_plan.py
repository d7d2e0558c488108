"""Plans: a stack that holds exactly what it must, whatever the tree goes through, with bounded waste."""

import io
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cephtasks.cut import cost
from cephtasks.errors import BaseTooDeep, TreeInvalid
from cephtasks.goal import Goal, lay
from cephtasks.plan import MOST_GARBAGE, MOST_LAYERS, Plan, plan
from cephtasks.stack import Origin, Source, StackLayer, shares, weight
from cephtasks.tree import Entry, Index, Kind, flatten, index_tar, parents
from lab import ceph_files, edits
from lab.layers import tar

BASE = flatten([index_tar(io.BytesIO(tar(*edits.base_members())))])
# Nothing but a rewrite brings a hidden device back, so what that costs is not within the bounds.
WITHOUT_DEVICE = {path: entry for path, entry in BASE.items() if entry.kind is not Kind.SPECIAL}

Trees = list[dict[str, Entry]]


def carried_out(stack: Sequence[StackLayer], planned: Plan) -> list[StackLayer]:
    """The stack once a plan is carried out; a blob is taken to be as large as its content."""
    made = [StackLayer(layer.component, layer.entries, layer.content_bytes) for layer in planned.layers]
    return [*stack[: planned.kept], *made]


def seen(stack: Sequence[StackLayer], base: Index = BASE) -> dict[str, Entry]:
    """What a container sees of a stack on a base."""
    return flatten([base.values(), *(layer.entries for layer in stack)])


def held(stack: Sequence[StackLayer]) -> int:
    """What all entries of a stack weigh."""
    return sum(weight(entry) for layer in stack for entry in layer.entries)


class Write(NamedTuple):
    """An entry of a new layer, and where its content is if not at the tree's own path."""

    entry: Entry
    source: Source | None = None


def writes(planned: Plan) -> list[Write]:
    """All that a plan writes."""
    return [
        Write(entry, layer.sources.get(entry.path)) for layer in planned.layers for entry in layer.entries
    ]


def fits(tree: Index) -> bool:
    """Whether the tree says one thing of each path of the base."""
    try:
        lay(BASE, tree)
    except TreeInvalid:
        return False
    return True


def change(before: Goal, after: Goal) -> tuple[int, int]:
    """What weighs all that an edit brings, and all that it takes the place of."""
    paths = frozenset(
        path
        for path in before.files.keys() | after.files.keys()
        if before.files.get(path) != after.files.get(path) or before.links.get(path) != after.links.get(path)
    )
    return cost(after, paths), cost(before, paths)


@st.composite
def series(draw: st.DrawFn, longest: int = 12) -> Trees:
    """Trees that follow each other, one to three edits apart."""
    nodes: edits.Nodes = {}
    trees: Trees = []
    for count in draw(st.lists(st.integers(1, 3), min_size=1, max_size=longest)):
        for _ in range(count):
            nodes = edits.edited(nodes, lambda of: draw(st.sampled_from(of)))
        if fits(edits.index(nodes)):
            trees.append(edits.index(nodes))
    return trees


def random_series(seed: int, length: int) -> Trees:
    """A long series of the same kind."""
    chance = random.Random(seed)  # noqa: S311
    nodes: edits.Nodes = {}
    trees: Trees = []
    for _ in range(length):
        edited = edits.edited(nodes, chance.choice)
        if fits(edits.index(edited)):
            nodes = edited
            trees.append(edits.index(nodes))
    return trees


# --- what a stack holds


@settings(max_examples=200, deadline=None)
@given(series())
def test_a_stack_holds_the_base_and_the_tree(trees: Trees) -> None:
    """After every edit the stack, flattened over the base, is the base with the tree laid over it."""
    stack: list[StackLayer] = []
    for tree in trees:
        stack = carried_out(stack, plan(BASE, tree, stack))
        assert seen(stack) == lay(BASE, tree).files


@settings(max_examples=100, deadline=None)
@given(series())
def test_a_layer_is_one_that_every_engine_unpacks_alike(trees: Trees) -> None:
    """Each path once, every folder named before what it holds, links only to what the layer holds itself."""
    stack: list[StackLayer] = []
    for tree in trees:
        planned = plan(BASE, tree, stack)
        for layer in planned.layers:
            before: dict[str, Entry] = {}
            for entry in layer.entries:
                assert entry.path not in before
                assert all(before[parent].kind is Kind.FOLDER for parent in parents(entry.path))
                if entry.kind is Kind.HARDLINK:
                    assert before[entry.target].kind is Kind.FILE
                before[entry.path] = entry
        stack = carried_out(stack, planned)


@settings(max_examples=100, deadline=None)
@given(series())
def test_what_is_deleted_was_there_in_a_folder_that_stays(trees: Trees) -> None:
    """A whiteout hides something below its own layer, and lies in a folder both below and in the goal."""
    stack: list[StackLayer] = []
    for tree in trees:
        planned = plan(BASE, tree, stack)
        below, goal = seen(stack[: planned.kept]), lay(BASE, tree).files
        for write in writes(planned):
            if write.entry.kind is Kind.WHITEOUT:
                assert write.entry.path in below.keys() - goal.keys()
                assert all(
                    index[parent].kind is Kind.FOLDER
                    for index in (below, goal)
                    for parent in parents(write.entry.path)
                )
        stack = carried_out(stack, planned)


@settings(max_examples=100, deadline=None)
@given(series())
def test_every_file_is_found_where_its_source_says(trees: Trees) -> None:
    """In the tree or in the base, with the very content; a file without a source is the tree's own."""
    stack: list[StackLayer] = []
    for tree in trees:
        planned = plan(BASE, tree, stack)
        for write in writes(planned):
            entry, source = write.entry, write.source or Source(Origin.TREE, write.entry.path)
            assert write.source is None or entry.kind is Kind.FILE
            if entry.kind is Kind.FILE:
                place = flatten([tree.values()]) if source.origin is Origin.TREE else BASE
                assert (place[source.path].sha256, place[source.path].size) == (entry.sha256, entry.size)
        stack = carried_out(stack, planned)


@settings(max_examples=50, deadline=None)
@given(series(), st.randoms(use_true_random=False))
def test_a_plan_depends_on_nothing_but_what_there_is(trees: Trees, chance: random.Random) -> None:
    """Not on the order in which indexes happen to be."""

    def shuffled(index: Index) -> dict[str, Entry]:
        items = list(index.items())
        chance.shuffle(items)
        return dict(items)

    stack: list[StackLayer] = []
    for tree in trees:
        planned = plan(BASE, tree, stack)
        assert plan(shuffled(BASE), shuffled(tree), stack) == planned
        stack = carried_out(stack, planned)


# --- what is written


@settings(max_examples=100, deadline=None)
@given(series())
def test_an_unchanged_tree_writes_nothing(trees: Trees) -> None:
    """And keeps every layer, so that the image stays the same."""
    stack: list[StackLayer] = []
    for tree in trees:
        stack = carried_out(stack, plan(BASE, tree, stack))
        assert plan(BASE, tree, stack) == Plan(len(stack), ())


@settings(max_examples=100, deadline=None)
@given(series())
def test_what_the_base_holds_is_not_shipped(trees: Trees) -> None:
    """The first stack has nothing that the base holds byte for byte, but for names of a changed file."""
    for tree in trees:
        goal = lay(BASE, tree)
        for write in writes(plan(BASE, tree)):
            if write.entry.kind in (Kind.FILE, Kind.SYMLINK) and write.entry.path not in goal.links:
                assert write.entry != BASE.get(write.entry.path)


@settings(max_examples=100, deadline=None)
@given(series(longest=30))
def test_waste_is_bounded(trees: Trees) -> None:
    """After every edit a stack is at most half as large again as it must be, and no deeper than it may be."""
    stack: list[StackLayer] = []
    for tree in trees:
        stack = carried_out(stack, plan(BASE, tree, stack))
        ideal = held(carried_out((), plan(BASE, tree)))
        assert held(stack) - ideal <= MOST_GARBAGE * ideal
        assert len(stack) <= MOST_LAYERS


@settings(max_examples=100, deadline=None)
@given(series(longest=30))
def test_no_byte_is_written_more_than_three_times(trees: Trees) -> None:
    """Once for each byte that edits bring, twice for each that they take the place of, at the most."""
    stack: list[StackLayer] = []
    before, brought, replaced, written = lay(WITHOUT_DEVICE, {}), 0, 0, 0
    for tree in trees:
        after = lay(WITHOUT_DEVICE, tree)
        new, old = change(before, after)
        planned = plan(WITHOUT_DEVICE, tree, stack)
        stack, before = carried_out(stack, planned), after
        brought, replaced, written = brought + new, replaced + old, written + held(carried_out((), planned))
        assert written <= brought + 2 * replaced


@pytest.mark.parametrize("room", [1, 2, 3, 6])
def test_a_deep_base_leaves_room_for_few_layers(room: int) -> None:
    """The stack stays within it, still holds what it must, and bytes are written a few times at most."""
    stack: list[StackLayer] = []
    before, changed, written = lay(WITHOUT_DEVICE, {}), 0, 0
    for tree in random_series(room, 120):
        planned = plan(WITHOUT_DEVICE, tree, stack, base_layers=125 - room)
        stack = carried_out(stack, planned)
        assert len(stack) <= room
        after = lay(WITHOUT_DEVICE, tree)
        assert seen(stack, WITHOUT_DEVICE) == after.files
        changed, written, before = (
            changed + sum(change(before, after)),
            written + held(carried_out((), planned)),
            after,
        )
    assert written <= (20 if room == 1 else 4) * changed


def test_a_base_that_is_too_deep_is_refused() -> None:
    """Engines take 125 layers; the error says so."""
    with pytest.raises(BaseTooDeep, match="125"):
        plan(BASE, ceph_files.tree(), base_layers=125)


# --- compaction on demand


@settings(max_examples=50, deadline=None)
@given(series())
def test_a_compacted_stack_is_the_one_that_would_be_first(trees: Trees) -> None:
    """It holds the same, has no garbage, and to compact it again writes nothing."""
    stack: list[StackLayer] = []
    for tree in trees:
        stack = carried_out(stack, plan(BASE, tree, stack))
        compacted = carried_out(stack, plan(BASE, tree, stack, compact=True))
        assert compacted == carried_out((), plan(BASE, tree))
        assert plan(BASE, tree, compacted, compact=True) == Plan(len(compacted), ())
        assert all(share.shadowed_bytes == 0 for share in shares(BASE, compacted))


# --- what one edit does

SMALL_BASE = flatten(
    [
        [
            Entry("usr", Kind.FOLDER),
            Entry("usr/lib", Kind.FOLDER, 0o711, uid=7, gid=8),
            Entry("lib", Kind.SYMLINK, 0o777, target="usr/lib"),
            Entry("usr/lib/libold.so", Kind.FILE, 0o644, 10, "0" * 64),
            Entry("usr/lib/plugins", Kind.FOLDER),
            Entry("usr/lib/plugins/one.so", Kind.FILE, 0o644, 10, "1" * 64),
            Entry("gone", Kind.SYMLINK, 0o777, target="usr/gone"),
        ]
    ]
)


def file(path: str, sign: str, mode: int = 0o644) -> Entry:
    """A file of 1000 bytes; the sign stands for its content."""
    return Entry(path, Kind.FILE, mode, 1000, sign * 64)


def index(*entries: Entry) -> dict[str, Entry]:
    """An index of these entries."""
    return {entry.path: entry for entry in entries}


# So large that what the other files leave behind is within the bounds.
BALLAST = index(Entry("usr/lib/zz", Kind.FILE, 0o644, 1 << 20, "f" * 64))


def after(*trees: dict[str, Entry]) -> list[StackLayer]:
    """The stack that packing these trees in turn leaves."""
    stack: list[StackLayer] = []
    for tree in trees:
        stack = carried_out(stack, plan(SMALL_BASE, tree | BALLAST, stack))
    return stack


def written_for(tree: dict[str, Entry], stack: Sequence[StackLayer]) -> list[Write]:
    """What a plan writes for a tree, without the folders that are there already."""
    below = seen(stack, SMALL_BASE)
    planned = plan(SMALL_BASE, tree | BALLAST, stack)
    assert planned.kept == len(stack)
    return [write for write in writes(planned) if write.entry != below.get(write.entry.path)]


def test_paths_lead_through_the_bases_links() -> None:
    """On a usr-merged base `lib` of the tree is `usr/lib` of the image, whose owner and mode stay."""
    tree = index(Entry("lib", Kind.FOLDER, 0o700), file("lib/liba.so", "a"))
    assert writes(plan(SMALL_BASE, tree)) == [
        Write(SMALL_BASE["usr"]),
        Write(SMALL_BASE["usr/lib"]),
        Write(file("usr/lib/liba.so", "a"), Source(Origin.TREE, "lib/liba.so")),
    ]


def test_a_folder_at_a_link_to_nowhere_is_made_where_the_link_leads() -> None:
    """So that what is in it is found under the tree's name too."""
    tree = index(Entry("gone", Kind.FOLDER, 0o700), file("gone/x", "a"))
    made = [write.entry for write in writes(plan(SMALL_BASE, tree))]
    assert made == [SMALL_BASE["usr"], Entry("usr/gone", Kind.FOLDER, 0o700), file("usr/gone/x", "a")]


def test_two_paths_on_one_path_of_the_image_must_agree() -> None:
    """Where they say the same, it is written once; where they differ, the error names both."""
    same = index(file("lib/x", "a"), file("usr/lib/x", "a"))
    made = [write.entry for write in writes(plan(SMALL_BASE, same))]
    assert [entry.path for entry in made if entry.kind is Kind.FILE] == ["usr/lib/x"]
    for other in (file("usr/lib/x", "b"), file("usr/lib/x", "a", 0o755), Entry("usr/lib/x", Kind.FOLDER)):
        with pytest.raises(TreeInvalid, match="lib/x and usr/lib/x are both /usr/lib/x"):
            plan(SMALL_BASE, index(file("lib/x", "a"), other))


def test_a_path_is_not_both_a_file_and_a_folder() -> None:
    """A tree that says so, through a link of the base, is refused."""
    tree = index(file("usr/lib/x", "a"), Entry("lib/x", Kind.FOLDER), file("lib/x/y", "b"))
    with pytest.raises(TreeInvalid, match="both /usr/lib/x"):
        plan(SMALL_BASE, tree)


def test_folders_that_a_tree_does_not_name_are_the_bases_or_roots() -> None:
    """A file alone is enough of an index: repaired libraries come so."""
    made = [write.entry for write in writes(plan(SMALL_BASE, index(file("usr/lib/new/x", "a"))))]
    assert made == [
        SMALL_BASE["usr"],
        SMALL_BASE["usr/lib"],
        Entry("usr/lib/new", Kind.FOLDER),
        file("usr/lib/new/x", "a"),
    ]


def test_an_edit_ships_the_changed_file_alone() -> None:
    """One layer more, with one file and the folders above it."""
    first = index(file("usr/lib/a", "a"), file("usr/lib/b", "b"))
    second = first | index(file("usr/lib/a", "c"))
    assert written_for(second, after(first)) == [Write(file("usr/lib/a", "c"))]


@pytest.mark.parametrize(
    "changed",
    [
        file("usr/lib/a", "a", 0o4755),
        Entry("usr/lib/a", Kind.SYMLINK, 0o777, target="b"),
        replace(file("usr/lib/a", "a"), uid=1),
        replace(file("usr/lib/a", "a"), gid=1),
    ],
)
def test_mode_type_and_owner_count_as_content_does(changed: Entry) -> None:
    """A change of any of them is an edit."""
    first = index(file("usr/lib/a", "a"), file("usr/lib/b", "b"))
    assert [write.entry for write in written_for(first | index(changed), after(first))] == [changed]


def test_what_goes_from_the_tree_goes_from_the_image() -> None:
    """A whiteout for what only the tree had; a folder goes with one for all that is in it."""
    keep = file("usr/lib/keep", "k")
    first = index(
        keep, file("usr/lib/a", "a"), Entry("opt", Kind.FOLDER), file("opt/x", "x"), file("opt/y", "y")
    )
    gone = [write.entry for write in written_for(index(keep), after(first))]
    assert gone == [Entry("opt", Kind.WHITEOUT), Entry("usr/lib/a", Kind.WHITEOUT)]


def test_what_the_tree_hid_comes_back_from_the_base() -> None:
    """A file of the base that is in the tree no more is the base's again."""
    stack = after(index(file("usr/lib/libold.so", "n")))
    source = Source(Origin.BASE, "usr/lib/libold.so")
    assert written_for({}, stack) == [Write(SMALL_BASE["usr/lib/libold.so"], source)]


def test_a_folder_of_the_base_comes_back_with_all_that_is_in_it() -> None:
    """A link took its place, and is gone from the tree."""
    stack = after(index(Entry("usr/lib/plugins", Kind.SYMLINK, 0o777, target="elsewhere")))
    assert "usr/lib/plugins/one.so" not in seen(stack, SMALL_BASE)
    back = [write.entry.path for write in written_for({}, stack)]
    assert back == ["usr/lib/plugins", "usr/lib/plugins/one.so"]


def test_a_folder_and_a_file_take_each_others_place() -> None:
    """Neither needs a whiteout: an entry of another kind replaces all that was there."""
    keep = file("usr/lib/keep", "k")
    as_file, as_folder = (
        index(keep, file("opt", "a")),
        index(keep, Entry("opt", Kind.FOLDER), file("opt/x", "x")),
    )
    assert [write.entry for write in written_for(as_file, after(as_folder))] == [file("opt", "a")]
    assert [write.entry for write in written_for(as_folder, after(as_file))] == list(as_folder.values())[1:]


def test_a_mode_of_a_folder_changes_alone() -> None:
    """What is in it stays where it is."""
    first = index(Entry("opt", Kind.FOLDER, 0o755), file("opt/x", "x"))
    second = first | index(Entry("opt", Kind.FOLDER, 0o700))
    assert written_for(second, after(first)) == [Write(Entry("opt", Kind.FOLDER, 0o700))]


def test_names_of_one_file_travel_together() -> None:
    """A change of one ships all, the content once; the first name has it."""
    link = Entry("usr/lib/b", Kind.HARDLINK, 0o644, target="usr/lib/a")
    stack = after(index(file("usr/lib/a", "a"), link))
    changed = index(file("usr/lib/a", "n"), link)
    assert written_for(changed, stack) == [Write(file("usr/lib/a", "n")), Write(link)]
    assert (
        seen(carried_out(stack, plan(SMALL_BASE, changed, stack)), SMALL_BASE)["usr/lib/b"].sha256 == "n" * 64
    )


def test_a_link_comes_after_what_it_links_to() -> None:
    """Also where its folder comes before."""
    link = Entry("usr/lib/b", Kind.HARDLINK, 0o644, target="usr/lib-x")
    made = [write.entry for write in writes(plan(SMALL_BASE, index(file("usr/lib-x", "a"), link)))]
    assert made[-2:] == [file("usr/lib-x", "a"), link]


def test_a_name_outlives_the_name_that_has_the_content() -> None:
    """To delete the first name of a file deletes nothing else."""
    link = Entry("usr/lib/b", Kind.HARDLINK, 0o644, target="usr/lib/a")
    stack = after(index(file("usr/lib/a", "a"), link, file("usr/lib/c", "c")))
    rest = index(file("usr/lib/b", "a"), file("usr/lib/c", "c"))
    assert written_for(rest, stack) == [Write(Entry("usr/lib/a", Kind.WHITEOUT))]


def test_an_edit_again_takes_the_last_ones_place() -> None:
    """What nobody would see any more is not kept below: the stack does not grow."""
    trees = [index(file("usr/lib/a", sign), file("usr/lib/b", "b")) for sign in "12345"]
    stack = after(*trees)
    signs = [[entry.sha256[0] for entry in layer.entries if entry.sha256] for layer in stack]
    assert signs == [["1", "b", "f"], ["5"]]


def test_an_edit_taken_back_writes_nothing() -> None:
    """The image is the one of before, which every node has."""
    first = index(file("usr/lib/a", "a"), file("usr/lib/b", "b"))
    stack = after(first, first | index(file("usr/lib/a", "x")))
    assert plan(SMALL_BASE, first | BALLAST, stack) == Plan(1, ())


def test_a_tree_that_the_base_holds_needs_no_layer() -> None:
    """Even where a stack of before had some."""
    assert plan(SMALL_BASE, index(SMALL_BASE["usr/lib/libold.so"])) == Plan(0, ())
    stack = after(index(file("usr/lib/libold.so", "n")))
    assert plan(SMALL_BASE, index(SMALL_BASE["usr/lib/libold.so"]), stack) == Plan(0, ())


def test_a_hidden_device_comes_back_without_being_written() -> None:
    """No layer of ours can hold one: the layer that hides it goes."""
    tree = index(file("usr/device", "a"), *BALLAST.values())
    stack = carried_out((), plan(BASE, tree))
    planned = plan(BASE, BALLAST, stack)
    assert planned.kept == 0
    assert seen(carried_out(stack, planned)) == lay(BASE, BALLAST).files


def test_waste_counts_even_where_nothing_else_changed() -> None:
    """Three files that become one need a third; what the others were is garbage, and too much of it."""
    first = file("usr/lib/a", "a")
    links = [Entry(f"usr/lib/{name}", Kind.HARDLINK, 0o644, target="usr/lib/a") for name in "bc"]
    stack = carried_out((), plan(SMALL_BASE, index(first, file("usr/lib/b", "a"), file("usr/lib/c", "a"))))
    stack = carried_out(stack, plan(SMALL_BASE, index(first, *links), stack))
    assert [entry for layer in stack for entry in layer.entries][-3:] == [first, *links]


# --- real sizes


def run(paths: Sequence[str], edits_in_turn: int) -> tuple[list[StackLayer], float]:
    """Edit these files of a real tree in turn; the stack, and bytes written for each byte changed."""
    tree, stack = ceph_files.tree(), carried_out((), plan(SMALL_BASE, ceph_files.tree()))
    changed = written = 0
    for number, path in zip(range(edits_in_turn), itertools.cycle(paths), strict=False):
        tree[path] = ceph_files.edited(path, tree[path].size, str(number))
        planned = plan(SMALL_BASE, tree, stack)
        stack = carried_out(stack, planned)
        changed, written = changed + weight(tree[path]), written + held(carried_out((), planned))
    assert seen(stack, SMALL_BASE) == lay(SMALL_BASE, tree).files
    return stack, written / changed


DAEMONS = [
    f"usr/bin/{name}" for name in ("ceph-osd", "ceph-mon", "ceph-mds", "ceph-mgr", "radosgw-admin", "rbd")
]


def test_the_first_stack_is_cut_for_many_cores() -> None:
    """By component, what changes least at the bottom; no layer is small, none holds half of all."""
    layers = plan(SMALL_BASE, ceph_files.tree()).layers
    total = sum(layer.content_bytes for layer in layers)
    assert 4 <= len(layers) <= 8
    assert layers[0].component.startswith("docs")
    assert layers[-1].component.endswith("common")
    assert all(total / 10 < layer.content_bytes < total / 2 for layer in layers)


def test_one_daemon_edited_again_and_again_costs_itself() -> None:
    """A day of work on the OSD leaves one layer more than there were."""
    stack, factor = run(["usr/bin/ceph-osd"], 50)
    assert factor == 1
    assert len(stack) == len(plan(SMALL_BASE, ceph_files.tree()).layers) + 1


def test_twenty_edits_of_daemons_cost_little_more_than_themselves() -> None:
    """Compactions cost little more than half of what the edits do."""
    assert run(DAEMONS, 20)[1] <= 1.6


def test_a_long_series_is_written_less_than_four_times() -> None:
    """Every file in turn leaves the most garbage, and fills the stack with small layers."""
    paths = [path for path, size in ceph_files.debian_paths().items() if size]
    assert run(paths, 200)[1] < 4
