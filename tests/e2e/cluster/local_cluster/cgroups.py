"""The control groups of a cluster, in both layouts that Linux machines have.

Version 1 has one tree for each controller, version 2 a single one. The kubelet makes its groups
below one of ours, which has to exist in every tree before it starts.
"""

import contextlib
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def _trees() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [tree for tree in _ROOT.iterdir() if tree.is_dir() and not tree.is_symlink()]


def create(name: str) -> None:
    """Make the group `name` in every tree, ready for children with processes."""
    for tree in _trees():
        group = tree / name
        group.mkdir(exist_ok=True)
        if tree == _ROOT:  # version 2: children get no controller that isn't handed down
            wanted = " ".join(f"+{c}" for c in (tree / "cgroup.controllers").read_text().split())
            for parent in (tree, group):
                (parent / "cgroup.subtree_control").write_text(wanted)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group of version 1
            if (tree / setting).exists():
                (group / setting).write_text((tree / setting).read_text())


def remove(name: str) -> bool:
    """Remove the group and all below it from every tree; False if a process still holds one."""
    for tree in _trees():
        groups = [tree / name, *(tree / name).rglob("*/")]
        for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
    return not any((tree / name).exists() for tree in _trees())
