"""What a run asks of a stage: a step that every frame takes between its capture and the outputs."""

from __future__ import annotations

from drivenet.record import Record


class Stage:
    """A step of every frame. Subclasses override ``name`` and ``__call__``, and ``reset`` if they remember anything.

    A stage belongs to one source and is called in one thread, with every processed frame in order (frames may be
    missing); one that is ``parallel`` may be called in several. It takes a record and gives a new one
    (:meth:`~drivenet.record.Record.with_layers`, :meth:`~drivenet.record.Record.with_ids`,
    :meth:`~drivenet.record.Record.with_image`), and never writes to what it was given. Its time is shown by its name
    everywhere: in the picture, the page, metrics and the stats file. An error that it raises ends the run.

    The default stages are ``prepare``, ``infer`` and ``postprocess`` (:func:`drivenet.stages.default_stages`). A stage
    that changes ids stands between the last two, one that needs the scene stands behind them; all of them stand before
    any sink.

    >>> class Brightness(Stage):
    ...     name = "brightness"
    ...     def __call__(self, record):
    ...         return record.with_layers(brightness=float(record.frame.image.mean()))
    """

    #: How the stage's time is called; no two of a run have the same.
    name = "stage"
    #: Whether it changes class ids, and so stands before the scene is made of them where a run orders its stages.
    on_ids = False
    #: Whether it may be at several frames at once, in any order: it remembers nothing of one frame for another.
    parallel = False
    #: Layers that the engine shall give beside the class ids, such as ``confidence``.
    needs: frozenset[str] = frozenset()

    def __call__(self, record: Record) -> Record:
        """Add to a record, or replace its picture."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget earlier frames: what follows is not their continuation (another size, a long gap, another drive)."""

    def close(self) -> None:
        """Release what it holds; the last call."""
