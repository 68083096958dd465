"""A whole collection into shards of views: its jobs, the workers' part, and what becomes of failures."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from sdtool.errors import ObjectError, SdtoolError
from sdtool.geometry.meshes import Mesh
from sdtool.io.objects import ObjectRecord
from sdtool.io.shards import (
    assemble,
    finished_parts,
    part_path,
    shard_path,
    take_apart,
    write_failure,
    write_part,
)
from sdtool.rendering.views import (
    MapSettings,
    ViewSettings,
    canonical_object,
    check_coverage,
    render_object,
)
from sdtool.runtime.engine import map_items
from sdtool.runtime.prefetch import prefetch
from sdtool.runtime.ranks import Ranks


@dataclass(frozen=True)
class ShardJob:
    """A shard to be put together: its file, its number and its objects' uids."""

    path: Path
    number: int
    uids: list[str]


@dataclass(frozen=True)
class ObjectJob:
    """An object to be rendered. part: where its views go. yaw: degrees to turn it first."""

    shard: int
    part: Path
    uid: str
    path: str | None
    yaw: float


@dataclass
class RenderJob:
    """The shards of one rank: all that is left to do, as jobs, in order."""

    out: Path
    settings: MapSettings
    objects: Callable[[], Iterable[ObjectRecord]]
    total: int
    shard_size: int
    ranks: Ranks
    yaws: dict[str, float]
    _left: dict[int, int] = field(default_factory=dict)  # objects in hand, of each shard
    _shards: dict[int, ShardJob] = field(default_factory=dict)
    _ready: deque[ShardJob] = field(default_factory=deque)

    def paths(self) -> list[Path]:
        """Every shard of this rank."""
        return [self._path(k) for k in self._numbers()]

    def _numbers(self) -> list[int]:
        """The shards of this rank; they are numbered over all ranks."""
        return [k for k in range(-(-self.total // self.shard_size)) if self.ranks.owns(k)]

    def _path(self, number: int) -> Path:
        return shard_path(self.out, number, self.settings.maps)

    def _size(self, number: int) -> int:
        """The objects of a shard; the last one may have fewer."""
        return min(self.shard_size, self.total - number * self.shard_size)

    def try_again(self) -> None:
        """Take the shards apart of which objects are to be tried again (`sdtool.io.again`)."""
        for number in self._numbers():
            if self._path(number).exists():
                take_apart(self._path(number), number)

    def count(self) -> int:
        """The objects of this rank."""
        return sum(map(self._size, self._numbers()))

    def finished(self) -> int:
        """Its objects that were settled before this run."""
        return sum(
            self._size(k) if self._path(k).exists() else len(finished_parts(self.out, k))
            for k in self._numbers()
        )

    def jobs(self) -> Iterator[ObjectJob | ShardJob]:
        """Objects without views; and each shard as soon as the last of its objects is settled."""
        listed, number = iter(self.objects()), -1
        while chosen := list(islice(listed, self.shard_size)):
            number += 1
            path = self._path(number)
            if not self.ranks.owns(number) or path.exists():
                continue
            self._shards[number] = ShardJob(path, number, [item.uid for item in chosen])
            finished = finished_parts(self.out, number)
            todo = [(k, item) for k, item in enumerate(chosen) if k not in finished]
            self._left[number] = len(todo)
            if not todo:
                self._ready.append(self._shards.pop(number))
            for k, item in todo:
                yield from self.ready()
                part, uid = part_path(self.out, number, k), item.uid
                yield ObjectJob(number, part, uid, item.path, self.yaws.get(uid, 0.0))
        yield from self.ready()

    def ready(self) -> Iterator[ShardJob]:
        """The shards whose objects are all settled."""
        while self._ready:
            yield self._ready.popleft()

    def settle(self, job: ObjectJob, outcome: Any) -> None:
        """Note what became of an object."""
        if isinstance(outcome, ObjectError):
            write_failure(job.part, job.uid, outcome)
        self._left[job.shard] -= 1
        if not self._left[job.shard]:
            del self._left[job.shard]
            self._ready.append(self._shards.pop(job.shard))


def render_collection(
    collection: RenderJob, on_object: Callable | None = None, **options: Any
) -> Iterator[bool]:
    """Render what is missing, by the CPU; yield for each object, once it is settled, if it failed.

    on_object: (settings, ObjectJob) writes the part of an object in another way than by rendering.
    options: those of `sdtool.runtime.engine.map_items`.
    """
    work = partial(_work, collection.settings, on_object or _render)
    yield from _settle(collection, map_items(work, collection.jobs(), **options))


def checked_backend(name: str, device: str) -> Any:
    """The module of a backend for `device`, "nvdiffrast" or "warp"; an error if it cannot work there."""
    from sdtool.rendering import nvdiffrast_backend, warp_backend

    by = {"nvdiffrast": nvdiffrast_backend, "warp": warp_backend}[name]
    by.check(device)
    return by


def render_collection_by_cuda(
    collection: RenderJob, backend: str, device: str, **options: Any
) -> Iterator[bool]:
    """The same by nvdiffrast or warp in this process; the workers load the objects meanwhile."""
    from sdtool.rendering.cuda import render_batches

    rasterize = checked_backend(backend, device).rasterize_ranges
    settings = cast(ViewSettings, collection.settings)  # what renders, not what reads renders
    work = partial(_work, settings, _load)
    lost: dict[Path, tuple[str, ...]] = {}  # images, of objects on their way

    def noted(results: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        for job, outcome in results:
            if isinstance(outcome, tuple) and outcome[0].lost:
                lost[job.part] = outcome[0].lost
            yield job, outcome

    loaded = prefetch(map_items(work, collection.jobs(), **options), 64)
    outcomes = render_batches(rasterize, noted(loaded), settings, device)
    written = ((job, _written(settings, job, o, lost)) for job, o in outcomes)
    yield from _settle(collection, written)


def _settle(
    collection: RenderJob, outcomes: Iterable[tuple[ObjectJob | ShardJob, Any]]
) -> Iterator[bool]:
    for job, outcome in outcomes:
        if isinstance(job, ShardJob):
            if isinstance(outcome, ObjectError):
                raise SdtoolError(f"{job.path} could not be written: {outcome}")
            continue
        collection.settle(job, outcome)
        yield isinstance(outcome, ObjectError)
    for shard in collection.ready():
        _assemble(collection.settings, shard)


def _written(
    settings: ViewSettings,
    job: ObjectJob | ShardJob,
    outcome: Any,
    lost: dict[Path, tuple[str, ...]],
) -> Any:
    """Write the views of an object that came from the device; what is no views is passed on.

    lost: the images that some objects lack, which are taken out of it.
    """
    if isinstance(job, ShardJob) or not isinstance(outcome, tuple):
        return outcome
    maps, c2w = outcome
    try:
        check_coverage(settings, job.uid, maps)
    except ObjectError as error:
        return error
    return write_part(job.part, maps, c2w, lost.pop(job.part, ()))


# In the workers


def _work(settings: MapSettings, on_object: Callable, job: ObjectJob | ShardJob) -> Any:
    return _assemble(settings, job) if isinstance(job, ShardJob) else on_object(settings, job)


def _assemble(settings: MapSettings, shard: ShardJob) -> None:
    camera = asdict(settings.camera)
    assemble(shard.path, shard.number, shard.uids, settings.maps, settings.size, camera)


def _load(settings: ViewSettings, job: ObjectJob) -> tuple[Mesh, np.ndarray]:
    return canonical_object(settings, job.uid, job.path, job.yaw)


def _render(settings: ViewSettings, job: ObjectJob) -> None:
    mesh, c2w = _load(settings, job)
    maps = render_object(settings, mesh, c2w)
    check_coverage(settings, job.uid, maps)
    write_part(job.part, maps, c2w, mesh.lost)
