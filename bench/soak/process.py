"""What a data-plane process holds: descriptors, memory, and what it says of itself."""

import asyncio
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

MiB = 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Open descriptors by kind, and threads."""

    sockets: int
    pipes: int
    others: int
    threads: int

    @classmethod
    def by(cls, pid: int) -> "Held":
        kinds: Counter[str] = Counter()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                kinds[os.readlink(link).partition(":")[0]] += 1
            except FileNotFoundError:  # closed meanwhile
                continue
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        others = kinds.total() - kinds["socket"] - kinds["pipe"]
        return cls(sockets=kinds["socket"], pipes=kinds["pipe"], others=others, threads=threads)


def rss_bytes(pid: int) -> int:
    """Source: proc_pid_statm(5), second field, in pages."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


class Memory:
    """Samples resident sets, one a second."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self.samples: dict[str, list[int]] = {name: [] for name in pids}

    async def run(self) -> None:
        while True:
            for name, pid in self._pids.items():
                self.samples[name].append(rss_bytes(pid))
            await asyncio.sleep(1)

    def early_and_late(self, name: str) -> tuple[int, int]:
        """The highest of the first half and of the second, after a tenth of warming up."""
        samples = self.samples[name][len(self.samples[name]) // 10 :]
        middle = len(samples) // 2
        return max(samples[:middle]), max(samples[middle:])


def metric(exposition: str, name: str) -> float:
    found = re.search(rf"^bucketroute_dataplane_{name} ([0-9.e+]+)$", exposition, re.MULTILINE)
    assert found is not None, name
    return float(found[1])
