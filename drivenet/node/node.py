"""Runs of several sources side by side, with one beginning and one end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from drivenet.errors import DrivenetError, UsageError
from drivenet.node.main_thread import MainThread
from drivenet.pipeline import Pipeline
from drivenet.pipeline.failures import raise_all
from drivenet.result import Totals
from drivenet.sinks.base import Sink

_TICK_S = 0.1


class Node:
    """One pipeline a source, each in a thread; they share nothing but what they were lent.

    A source that ends, is lost or fails touches no other: the node ends when the last run has ended, and raises all
    errors then. A sink of the main thread that wants the run to end (a window that was closed) ends them all.

    Args:
        pipelines: by source id, none of which has run.
        main: serves the sinks of the main thread, which the pipelines were given through it.
        close: what the runs share, such as the engine; called once they have ended.
    """

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        main: MainThread | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        if not pipelines:
            raise UsageError("a node without a source", "at least one")
        self.pipelines, self._main, self._close = dict(pipelines), main or MainThread(), close
        self._errors: dict[str, BaseException] = {}

    @property
    def serving(self) -> Sink | None:
        """The sink that the thread of :meth:`run` serves just now."""
        return self._main.serving

    def stop(self) -> None:
        """End all runs soon; from any thread and from a signal handler."""
        for pipeline in self.pipelines.values():
            pipeline.stop()

    def totals(self) -> dict[str, Totals]:
        """The counts of each source so far."""
        return {name: pipeline.accounting.totals() for name, pipeline in self.pipelines.items()}

    def run(self) -> dict[str, Totals]:
        """Run until all sources have ended, a stop, or an error of each; once.

        Returns:
            The final totals by source id.

        Raises:
            DrivenetError: the first error of the first source that had one, with all others as its ``also``.
        """
        threads = [
            threading.Thread(target=self._run, args=item, name=f"source {item[0]}", daemon=True)
            for item in self.pipelines.items()
        ]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                self._main.serve(_TICK_S)
        finally:
            self._main.end()
            if not any(thread.is_alive() for thread in threads):
                self._close()
        raise_all([one for error in self._errors.values() for one in (error, *_also(error))])
        return self.totals()

    def _run(self, name: str, pipeline: Pipeline) -> None:
        try:
            pipeline.run()
        except BaseException as error:  # noqa: BLE001 - raised by run
            self._errors[name] = error
        if any(sink.stop_requested for sink in pipeline.sinks):
            self.stop()


def _also(error: BaseException) -> tuple[BaseException, ...]:
    return error.also if isinstance(error, DrivenetError) else ()
