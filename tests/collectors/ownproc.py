"""A /proc of the test's own, in the kernel's format."""

from pathlib import Path

NET_HEAD = "Inter-| Receive | Transmit\n face |bytes packets errs |bytes packets errs\n"


class OwnProc:
    """A /proc that holds what the test writes; psutil reads it as it would the kernel's."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def cpu(self, **ticks: int) -> None:
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
        self._write("stat", f"cpu  {' '.join(str(ticks.get(name, 0)) for name in names)}\n")

    def disks(self, **disks: tuple[int, int, int]) -> None:
        """Per disk: sectors read, sectors written, milliseconds busy."""
        self._write(
            "diskstats",
            "".join(
                f"8 0 {name} 0 0 {read} 0 0 0 {written} 0 0 {busy} 0\n"
                for name, (read, written, busy) in disks.items()
            ),
        )

    def network(self, **interfaces: tuple[int, int, int, int]) -> None:
        """Per interface: bytes received, bytes sent, errors received, drops sent."""
        rows = (
            f"{name}: {got} 0 {errors} 0 0 0 0 0 {sent} 0 0 {drops} 0 0 0 0\n"
            for name, (got, sent, errors, drops) in interfaces.items()
        )
        self._write("net/dev", NET_HEAD + "".join(rows))

    def _write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
