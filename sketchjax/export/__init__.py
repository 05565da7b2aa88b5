"""Models for others, and the encoder that onnxruntime runs."""

import os

# Builds of onnxruntime for Linux report their use to Microsoft, and keep an id of the device in the
# user's cache. This is read when onnxruntime is imported; a value that is there is kept.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
