"""YAML configs: read with places, checked against signatures, built into objects."""

from rmspace.config.build import Experiment, load_config
from rmspace.config.node import ConfigError, dump_yaml

__all__ = ["ConfigError", "Experiment", "dump_yaml", "load_config"]
