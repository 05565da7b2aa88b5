"""The model that comes with sketchjax: all 345 categories of QuickDraw, see README.md here."""

from pathlib import Path

MODEL = Path(__file__).with_name("model.safetensors")
