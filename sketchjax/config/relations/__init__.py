"""The rules between the fields of a config."""

from __future__ import annotations

from sketchjax.config.relations import batches, data, losses, network, stages
from sketchjax.config.relations.reading import Fields


def broken_relations(fields: Fields, devices: int) -> list[str]:
    """One line for each set of fields that are invalid together.

    fields: `section.field`: value, each valid by itself; a rule is passed over where one of its
      fields is missing.
    devices: how many a batch is divided over.
    """
    return [
        *network.of_pictures(fields),
        *batches.of_devices(fields, devices),
        *data.of_source_and_splits(fields),
        *network.of_encoders(fields),
        *network.of_sides(fields),
        *network.of_embedding(fields),
        *network.of_mirror_images(fields),
        *losses.of_settings(fields),
        *stages.of_plan(fields),
        *batches.of_classes(fields),
        *data.of_unseen(fields),
    ]
