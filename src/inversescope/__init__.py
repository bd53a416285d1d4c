"""InverseScope: which inputs produce this activation, how closely, and what does it encode?

The public names below are imported on first use, so that `import inversescope` (and the CLI's `--help`) stays free of
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inversescope.errors import UserError as UserError
    from inversescope.inverter import Inverter as Inverter
    from inversescope.natural_text import NaturalText as NaturalText
    from inversescope.run.pipeline import STEPS as STEPS
    from inversescope.run.run import Run as Run
    from inversescope.sites import Site as Site
    from inversescope.subject import Subject as Subject
    from inversescope.tasks import load_task as load_task

__version__ = "0.1.0"

_HOMES = {
    "Inverter": "inversescope.inverter",
    "NaturalText": "inversescope.natural_text",
    "Run": "inversescope.run.run",
    "STEPS": "inversescope.run.pipeline",
    "Site": "inversescope.sites",
    "Subject": "inversescope.subject",
    "UserError": "inversescope.errors",
    "load_task": "inversescope.tasks",
}
__all__ = ["STEPS", "Inverter", "NaturalText", "Run", "Site", "Subject", "UserError", "__version__", "load_task"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inversescope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
