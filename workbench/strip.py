"""Which pictures are in the strip? The first of the batch, and the chosen one, wherever it stands.

A sample behind the first ones is brought from the batch by the worker. Recorded frames hold the
first ones alone: of the others there is the input, or only their number.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from workbench.lanes import Lane
from workbench.looking import Surveyor
from workbench.naming import in_poke
from workbench.poking import pictures
from workbench.scene import Scene
from workbench.session import Session
from workbench.sight import Sight

Wanted = tuple[int, int, int]
"""Lane, batch and sample."""


class Strip:
    """Dresses scenes for a page that has chosen a sample and how layers are counted."""

    def __init__(self, session: Any, sight: Sight) -> None:
        """Nothing is brought so far.

        Args:
            session: of the page, or the run that it watches.
            sight: of the page.
        """
        self._sight = sight
        live = isinstance(session, Session)
        self._surveyor = Surveyor(session, _bring) if live else None
        self._wanted: Wanted | None = None

    def follow(self) -> tuple[Any, ...]:
        """Have the worker bring what is wanted; differs wherever a row has to be drawn anew."""
        if self._surveyor is None:
            return self._sight.key
        newest = self._surveyor.newest
        if self._wanted is not None and (newest is None or newest[0] != self._wanted):
            self._surveyor.follow(self._wanted)
        return *self._sight.key, None if newest is None else newest[0]

    def dress(self, scene: Scene) -> Scene:
        """A scene with the chosen sample marked, and layers called as they are here."""
        self._wanted = None
        told = self._sight.told(scene.of.lane.trace.names)
        named = replace(
            scene,
            curves=replace(scene.curves, names=self._sight.call(scene.curves.names)),
            changes=[(row, in_poke(text, told)) for row, text in scene.changes],
        )
        return self._marked(named)

    def _marked(self, scene: Scene) -> Scene:
        sample, batch = self._sight.sample, int(scene.curves.batch[scene.at])
        held = scene.of.lane.trace.batches.get(batch)
        shown = max((len(one) for one in scene.images.values()), default=0)
        if sample is None or held is None or not shown:
            return scene
        if sample >= max(len(held.labels), shown):
            self._sight.sample = None  # a smaller batch: there is none to be followed
            return scene
        if sample < shown:
            return replace(scene, marked=sample)
        return self._with(scene, sample, batch, held.labels[sample])

    def _with(self, scene: Scene, sample: int, batch: int, label: Any) -> Scene:
        """A scene with one more picture; transparent where there is none of this sample."""
        brought = self._brought(scene, sample, batch)
        images = {}
        for name, values in scene.images.items():
            one = np.full((1, *values.shape[1:]), np.nan, np.float32)
            if name == "input" and brought is not None:
                one[0] = brought
            images[name] = np.concatenate([values, one])
        probability = scene.probability
        if len(probability):
            row = scene.of.lane.trace.row(scene.cursor)
            probability = np.concatenate([probability, row["probability"][sample][None]])
        return replace(
            scene,
            images=images,
            labels=np.append(scene.labels, label),
            probability=probability,
            marked=sample,
            brought=True,
        )

    def _brought(self, scene: Scene, sample: int, batch: int) -> Any:
        """Its input, (C, H, W); None where it is not known, or not as pokes have left it."""
        lane = scene.of.lane
        if self._surveyor is None or not isinstance(lane, Lane):
            return None
        if pictures(lane, scene.cursor, batch) is not None:
            return None
        self._wanted = lane.id, batch, sample
        newest = self._surveyor.newest
        return newest[1] if newest is not None and newest[0] == self._wanted else None


def _bring(session: Session, wanted: Wanted) -> tuple[Wanted, Any] | None:
    """The input of one sample; called by the worker. None where the lane has gone."""
    number, batch, sample = wanted
    lane = next((one for one in session.lanes if one.id == number), None)
    if lane is None:
        return None
    return wanted, lane.training.batches.batch(batch).x[sample].cpu().numpy()
