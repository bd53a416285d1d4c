"""Nodes of a Ray cluster compared: versions, processor or GPU, shared storage, and one computation on each."""

from __future__ import annotations

import hashlib
import platform
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("inversescope", "torch", "transformers", "numpy", "ray")
SECONDS = 120  # given to a node


@dataclass(frozen=True)
class Node:
    """One node, as it describes itself.

    Attributes:
        name: of its host, and the first digits of its number in the cluster.
        python, packages: versions.
        processor: instruction set that torch uses, which decides the last bits of its sums.
        gpus: their names and the driver's version.
        reads: the folder of the runs is seen, with what the driver wrote into it; None: no folder was named.
        computed: hash of one computation.
    """

    name: str
    python: str
    packages: str
    processor: str
    gpus: str
    reads: bool | None
    computed: str


@dataclass(frozen=True)
class Compared:
    """One fact over all nodes; `values`: the nodes' names by value, one value where all agree."""

    name: str
    ok: bool
    values: dict[str, list[str]]


def describe(number: str, marker: Path | None, content: str) -> dict[str, Any]:
    """This node, as the fields of `Node`. `marker` is a file that the driver wrote, with this content."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    driver = f", CUDA {torch.version.cuda}" if gpus else ""
    node = Node(
        name=f"{socket.gethostname()} ({number[:6]})",
        python=platform.python_version(),
        packages=", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        processor=f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        gpus=", ".join(gpus) + driver if gpus else "none",
        reads=None if marker is None else marker.exists() and marker.read_text() == content,
        computed=_compute(),
    )
    return asdict(node)


def compare(nodes: Sequence[Node]) -> list[Compared]:
    """The facts that must be the same on all nodes; the folder must be seen by all of them."""
    facts = {
        "Python": [node.python for node in nodes],
        "packages": [node.packages for node in nodes],
        "processor": [node.processor for node in nodes],
        "GPUs": [node.gpus for node in nodes],
        "one computation": [node.computed for node in nodes],
    }
    compared = [_compared(name, values, nodes) for name, values in facts.items()]
    seen = [node.reads for node in nodes]
    if None not in seen:
        folder = _compared("the folder", ["seen" if reads else "not seen" for reads in seen], nodes)
        compared.append(Compared(folder.name, all(seen), folder.values))
    return compared


def nodes_of_cluster(storage: Path | None) -> list[Node]:
    """Every node that is alive, as it describes itself; `storage`: the folder where runs will be."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    content = hashlib.sha256(str(storage).encode()).hexdigest()
    marker = None
    if storage is not None:
        marker = storage.resolve() / f".seen-by-the-driver-{content[:8]}"
        marker.write_text(content)
    remote: Any = ray.remote(describe)
    try:
        futures = [
            remote.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(node["NodeID"], marker, content)
            for node in ray.nodes()
            if node["Alive"]
        ]
        return sorted((Node(**facts) for facts in ray.get(futures, timeout=SECONDS)), key=lambda node: node.name)
    finally:
        if marker is not None:
            marker.unlink(missing_ok=True)


def _compared(name: str, values: Sequence[str], nodes: Sequence[Node]) -> Compared:
    by_value: defaultdict[str, list[str]] = defaultdict(list)
    for node, value in zip(nodes, values, strict=True):
        by_value[value].append(node.name)
    return Compared(name, len(by_value) == 1, dict(by_value))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _compute() -> str:
    """Hash of matrix products and a softmax, in float32 and in bfloat16, on the device that a worker would use."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = torch.Generator().manual_seed(0)
    left, right = torch.randn(192, 576, generator=rng).to(device), torch.randn(576, 1536, generator=rng).to(device)
    products = [(left @ right).softmax(1), (left.bfloat16() @ right.bfloat16()).float()]
    digest = hashlib.sha256()
    for product in products:
        digest.update(product.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
