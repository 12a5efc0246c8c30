"""Strategy motion-model: few frames are registered, every other one is a combination of theirs.

1. A cheap coarse look (`motion_model_look`) at every frame, each read once.
2. Frames unlike all others (cough, another contrast, a patient who moved) are set apart, and among the rest those that
   differ most become key frames (`motion_model_fit`).
3. Key frames are registered with the reference. One that moved far is also reached through the key frame most like it
   and finished against the reference; what is more similar in the end is taken.
4. Every other frame: the combination of the key frames' displacements that its look asks for.
5. It is held against the frame's own image, in and around the segmentation, by what the key frames reached. Where it
   falls short it is finished by one registration of what is left, and where that does not do the frame is registered
   directly. A frame that was set apart is not finished, but registered directly at once.

Averaging over key frames lowers the errors of a single registration, so that the combination is not only cheaper: a
direct registration is believed where it makes the frame clearly more similar, and the combination where it does not,
as in a frame of another contrast.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import SimpleITK as sitk

from ..space import displacement as displacements
from ..space.grid import Grid
from .context import FrameContext, Later, Outcome, with_next
from .motion_model_fields import KeyFields
from .motion_model_fit import FEWEST_FRAMES, UNLIKE, Modes, choose_keys, combination, find_modes
from .motion_model_looks import look_at
from .motion_model_means import MotionMeans
from .motion_model_store import Choice

_ENOUGH = 0.006  # voxels of the looks' grid that key frames may leave unexplained: .05 of the network's, half its error
_FAR = 0.75  # voxels of the looks' grid; key frames that moved by more are reached through others too
_NEAR_SHARE = 0.6  # of the way to the reference, within which another key frame is a step towards it
_FAR_PERCENTILE = 95
_LESS_SIMILAR = 0.01
# Shares of what key frames usually gain that a combination may miss. One that misses a tenth is as near the truth as a
# registration comes (Testing/benchmarks/motion_model.py).
_AS_GOOD, _GOOD_ENOUGH = 0.1, 0.25
_CLEARLY = 0.25  # of the same: what a direct registration has to gain beyond the combination to be believed instead
_APART = "unlike the other frames"

Row = dict[str, str]


@dataclass(frozen=True)
class _Key:
    index: int
    look: np.ndarray
    displacement: sitk.Image


@dataclass
class _Basis:
    """The key frames that were registered, and the similarity of each before and after that."""

    fields: KeyFields
    keys: list[_Key] = field(default_factory=list)
    similarity: list[tuple[float, float]] = field(default_factory=list)

    @property
    def gain(self) -> float:
        """What key frames usually gain."""
        before, after = np.array(self.similarity).T
        return max(0.0, float(np.median(after - before)))

    def reached(self, share: float) -> float:
        """What the least similar key frame reached, less a share of what key frames usually gain."""
        return min(after for _, after in self.similarity) - share * self.gain


def motion_model(context: FrameContext) -> Generator[Outcome | Later, None, None]:
    """The reference, the key frames, then the others ascending; of these each is found by itself."""
    means = context.motion
    assert means is not None, "strategy motion-model without what it works with"
    yield from context.itself()
    others = [index for index in context.indices if index != context.reference.index]
    waiting = [index for index in others if index not in context.finished]
    earlier = means.store.choice()
    if len(waiting) == 0 or (earlier is None and len(waiting) < FEWEST_FRAMES):
        for index, following in with_next(waiting):
            yield _directly(context, index, following)
        return
    looks, choice = _looks_and_choice(context, means, others, waiting, earlier)
    basis = _Basis(KeyFields(means.device))
    keys = [index for index in choice.keys if index in looks]
    rest = [index for index in waiting if index not in choice.keys]
    for index, following in zip(keys, [*keys[1:], next(iter(rest), None)]):
        # Who makes key frames for others has to know, should one end the process, which one it was.
        outcome = _key(context, means, index, None if means.keys_only else following, looks, basis)
        if index not in context.finished:
            yield outcome
    if means.keys_only:
        return
    for index, following in with_next(rest):
        is_apart = index in choice.unlike
        if index not in looks or not basis.keys:
            outcome = _directly(context, index, following, *([f"{_APART}, registered directly"] if is_apart else []))
            yield outcome if following is not None else replace(outcome, release=choice.keys)
        else:
            combined = partial(_combined, context, means, basis, looks[index], index, is_apart)
            later = context.later(index, following, combined)
            yield later if following is not None else later.releasing(choice.keys)


def _directly(context: FrameContext, index: int, following: int | None, *notes: str) -> Outcome:
    outcome = context.direct(index, following)
    if outcome.failure is not None:
        return outcome
    return replace(outcome, notes=(*notes, *outcome.notes), strategy="direct")


def _looks_and_choice(
    context: FrameContext, means: MotionMeans, others: Sequence[int], waiting: Sequence[int], earlier: Choice | None
) -> tuple[Mapping[int, np.ndarray], Choice]:
    """The looks at the frames and what was chosen among them.

    Where all was chosen and written, the looks that are still needed are read alone: a cohort's workers begin some
    fifty times with a patient, and each time the looks at all frames would take as long as forty frames on a GPU.
    """
    if earlier is not None and earlier.frames == tuple(others) and means.store.has_model:
        needed = sorted({*earlier.keys, *waiting})
        kept = {index: means.store.look(index) for index in needed}
        looks = {index: look for index, look in kept.items() if look is not None}
        if len(looks) == len(needed):
            return looks, earlier
    looks = look_at(context, means, others)
    return looks, _chosen(means, looks, others, earlier)


def _chosen(
    means: MotionMeans, looks: Mapping[int, np.ndarray], others: Sequence[int], earlier: Choice | None
) -> Choice:
    """Key frames and frames set apart, as an earlier run chose them among the same frames, or anew."""
    if len(looks) < FEWEST_FRAMES:
        return Choice(tuple(others), (), ())
    numbers = np.array(list(looks))
    stacked = np.stack(list(looks.values()))
    stacked = stacked.reshape(len(stacked), -1, stacked.shape[-1])
    modes, apart = find_modes(stacked, means.known)
    if earlier is not None and earlier.frames == tuple(others):
        choice = earlier
    else:
        unlike = np.flatnonzero(apart > UNLIKE)
        enough = _ENOUGH * min(means.look.grid.spacing)
        keys = choose_keys(stacked, np.flatnonzero(apart <= UNLIKE), means.keyframes, enough)
        choice = Choice(tuple(others), tuple(numbers[keys].tolist()), tuple(numbers[unlike].tolist()))
    means.store.write_model(modes, choice, means.look.grid)
    means.store.write_curve(_curve(modes, stacked, numbers, choice, means.store.reference))
    if choice != earlier:  # Last: who finds a choice finds what belongs to it.
        means.store.keep_choice(choice)
    return choice


def _curve(modes: Modes, stacked: np.ndarray, numbers: np.ndarray, choice: Choice, reference: int) -> list[Row]:
    """The rows of motion.csv; that of the reference is all zero."""
    kinds = {**dict.fromkeys(choice.keys, "key"), **dict.fromkeys(choice.unlike, "unlike")}
    found = np.column_stack([modes.coefficients(stacked), modes.left(stacked)[0]])
    names = [*(f"mode_{n + 1}_mm" for n in range(found.shape[1] - 1)), "unexplained_mm"]
    rows = [{"index": str(reference), **dict.fromkeys(names, "0"), "frame": "reference"}]
    for index, values in zip(numbers.tolist(), found.tolist()):
        told = {name: f"{value:.3f}" for name, value in zip(names, values)}
        rows.append({"index": str(index), **told, "frame": kinds.get(index, "")})
    return rows


def _key(
    context: FrameContext,
    means: MotionMeans,
    index: int,
    following: int | None,
    looks: Mapping[int, np.ndarray],
    basis: _Basis,
) -> Outcome:
    """A key frame's outcome; it joins the basis, unless it fails or is less similar than it was."""
    kept = context.recall(index) if index in context.finished else None

    def find(image: sitk.Image) -> Outcome:
        if kept is not None:
            found = Outcome(index, image, kept)
        else:
            found = _registered_key(context, means, basis, looks[index], index, image)
        assert found.displacement is not None
        before, after = means.alike(image, found.displacement)
        if after >= before - _LESS_SIMILAR:
            basis.similarity.append((before, after))
            basis.keys.append(_Key(index, looks[index], found.displacement))
            basis.fields.add(found.displacement)
        return found

    return context.attempt(index, following, find)


def _registered_key(
    context: FrameContext, means: MotionMeans, basis: _Basis, look: np.ndarray, index: int, image: sitk.Image
) -> Outcome:
    displacement, notes = context.register(image, context.reference.image)
    direct = Outcome(index, image, displacement, notes=("key frame", *notes), keep=True, strategy="direct")
    step = _step_towards_reference(means, basis, look)
    if step is None:
        return direct
    through = context.register(image, context.reader.read(step.index)).displacement
    chained = _finished(context, image, displacements.compose(through, step.displacement))
    if not means.alike(image, chained)[1] > means.alike(image, displacement)[1]:
        return direct
    notes = (f"key frame, reached through frame {step.index}", *notes)
    return replace(direct, displacement=chained, notes=notes, strategy="sequential")


def _step_towards_reference(means: MotionMeans, basis: _Basis, look: np.ndarray) -> _Key | None:
    """The key frame most like one that moved far, where it is much nearer to it than the reference is."""
    lengths = np.linalg.norm(look.astype(np.float32), axis=-1)
    if not basis.keys or np.percentile(lengths, _FAR_PERCENTILE) < _FAR * min(means.look.grid.spacing):
        return None
    nearest = min(basis.keys, key=lambda key: _distance(look, key.look))
    return nearest if _distance(look, nearest.look) < _NEAR_SHARE * _distance(look, np.zeros_like(look)) else None


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one.astype(np.float32) - other.astype(np.float32)))


def _combined(
    context: FrameContext,
    means: MotionMeans,
    basis: _Basis,
    look: np.ndarray,
    index: int,
    is_apart: bool,
    image: sitk.Image,
) -> Outcome:
    """The combination that a frame's look asks for, finished or replaced where its image speaks against it."""
    keys = basis.keys
    weights = combination(np.stack([key.look for key in keys]), look)
    found = basis.fields.weighted(weights, Grid.of(image))
    outcome = Outcome(index, image, found, strategy="motion-model")
    before, after = means.alike(image, found)
    if after >= basis.reached(_AS_GOOD):
        return replace(outcome, notes=(f"{_APART}, but the motion model fits its image",)) if is_apart else outcome
    if not is_apart:
        finished = _finished(context, image, found)
        then = means.alike(image, finished)[1]
        if then > after:
            after = then
            outcome = replace(outcome, displacement=finished, notes=("finished by registering what was left",))
        if after >= max(basis.reached(_GOOD_ENOUGH), before):
            return outcome
    displacement, notes = context.register(image, context.reference.image)
    told = _APART if is_apart else "the motion model does not fit this frame"
    if means.alike(image, displacement)[1] < after + _CLEARLY * basis.gain:
        told += ", and registered directly it is no more similar: the motion model is kept"
        return replace(outcome, notes=(told, *outcome.notes))
    return Outcome(index, image, displacement, notes=(f"{told}, registered directly", *notes), strategy="direct")


def _finished(context: FrameContext, image: sitk.Image, displacement: sitk.Image) -> sitk.Image:
    """A displacement followed by the registration of the frame with the reference as it warps it."""
    reference = context.reference.image
    outside = float(sitk.GetArrayViewFromImage(reference).min())
    warped = displacements.warp(reference, displacement, "linear", outside)
    return displacements.compose(context.register(image, warped, near=True).displacement, displacement)
