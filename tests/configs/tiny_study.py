"""A whole study in minutes: the tiny run's config under every method of table 1 at one length."""

import importlib.util
from pathlib import Path

from sketchjax.paper.study.config import default_study


def get_config():
    """Every part of a real study, at the smallest sizes."""
    path = Path(__file__).with_name("tiny.py")
    spec = importlib.util.spec_from_file_location("tiny", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    study = default_study()
    study.name = "a tiny study"
    study.base = module.get_config()
    study.bits = (16,)
    study.zero_shot_bits = 16
    study.unseen = ("clock", "sun")
    study.query = "cat"
    study.galleries = (1_000,)
    study.sketch_a_net = {"width": 0.1, "stem_stride": 1, "dense_features": 16}
    study.resnet50 = {"width": 0.05, "stem_stride": 2}
    study.hog_size = 32
    return study
