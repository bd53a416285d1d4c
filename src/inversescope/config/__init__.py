"""Config of a run: one TOML file."""

from inversescope.config.run_config import RunConfig, deciding, keys, sections
from inversescope.config.schema import (
    CalibrateConfig,
    CausalConfig,
    ClusterConfig,
    CollectConfig,
    DistanceName,
    GeneratorConfig,
    NeighbourhoodConfig,
    Query,
    SampleConfig,
    SubjectConfig,
    TrainConfig,
)
from inversescope.config.text_config import TextConfig

__all__ = [
    "CalibrateConfig",
    "CausalConfig",
    "ClusterConfig",
    "CollectConfig",
    "DistanceName",
    "GeneratorConfig",
    "NeighbourhoodConfig",
    "Query",
    "RunConfig",
    "SampleConfig",
    "SubjectConfig",
    "TextConfig",
    "TrainConfig",
    "deciding",
    "keys",
    "sections",
]
