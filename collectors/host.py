"""One sample of this host's resources: what cannot be measured here is a row that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from collectors import resources
from collectors.names import clean_name
from collectors.processes import PROCESS, ProcessMeter
from collectors.readings import METRICS, Meter, Reading, guarded
from warehouse.model import Sample, now
from warehouse.settings import HostSettings


class HostCollector:
    """Samples the host it runs on. Not to be shared between threads that run at once."""

    def __init__(self, settings: HostSettings) -> None:
        self._name = clean_name(settings.name)
        self._cpu, self._disks, self._network = Meter(), Meter(), Meter()
        self._processes = ProcessMeter(settings.processes, settings.top)

    def collect(self) -> list[Sample]:
        """Everything at this instant. Rates stand on the previous call, so the first has none."""
        at = now()
        return [
            Sample(
                at=at,
                kind="host",
                target=self._name,
                object=reading.object,
                metric=reading.metric,
                unit=METRICS[reading.metric][0],
                value=None if reading.value is None else float(reading.value),
                outcome=reading.outcome,
                direction=METRICS[reading.metric][1],
            )
            for metrics, read in self._parts()
            for reading in guarded(metrics, read)
        ]

    def _parts(self) -> Iterable[tuple[Sequence[str], Callable[[], Iterable[Reading]]]]:
        yield resources.CPU, lambda: resources.read_cpu(self._cpu)
        yield resources.MEMORY, resources.read_memory
        yield resources.SWAP, resources.read_swap
        yield resources.LOAD, resources.read_load
        yield ("cores",), resources.read_cores
        yield resources.SPACE, resources.read_space
        yield resources.DISK, lambda: resources.read_disks(self._disks)
        yield resources.NETWORK, lambda: resources.read_network(self._network)
        yield PROCESS, self._processes.read
