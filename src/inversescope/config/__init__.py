"""Config of a run: one TOML file."""

from inversescope.config.generator_config import CalibrateConfig, GeneratorConfig, Query, TrainConfig
from inversescope.config.run_config import RunConfig, deciding, keys, sections
from inversescope.config.schema import (
    ClusterConfig,
    CollectConfig,
    DistanceName,
    NeighbourhoodConfig,
    SampleConfig,
    SubjectConfig,
)
from inversescope.config.text_config import TextConfig

__all__ = [
    "CalibrateConfig",
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
