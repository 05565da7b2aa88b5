"""What the fields of a config must be to one another, and the names that they can have."""

from typing import Any

STAGES = ("cnn", "rnn", "joint", "center", "full")
HASHING_STAGES = ("joint", "center", "full")
# A branch alone has no code features: of the losses it can have the first.
LOSSES = (
    "cross_entropy",
    "center",
    "quantization",
    "common_center",
    "contrastive",
    "semantic",
)
# The least side of a picture that an encoder can read, as strides of its stem and pixels.
SMALLEST_PICTURE = {"alexnet": (14, 7), "sketch_a_net": (22, 15), "resnet50": (0, 1)}
SPLITS = ("train", "validation", "gallery", "query")
LARGEST_FLOAT = 3.4028234e38
LARGEST_INT = 2**31 - 1  # steps, sizes and indices are i32 on the devices


def has_place(stage: str, branches: str, pretrained: str) -> bool:
    """Whether a stage has anything to train: that of a branch only where the model has the branch
    and it does not come trained.

    branches, pretrained: `model.branches` and `train.pretrained` of the config.
    """
    return stage in HASHING_STAGES or (branches in ("both", stage) and not pretrained)


def broken_relations(fields: dict[str, Any], devices: int) -> list[str]:
    """One line for each pair of fields, or more of them, that cannot be.

    fields: as `config_rules.broken_rules` takes them, each sound by itself; rules that name a
    missing field are left out.
    """
    problems = _of_picture(fields) + _of_batches(fields, devices) + _of_data(fields)
    for stage in STAGES:
        problems += _of_losses(fields, stage)
    return problems + _of_model(fields) + _of_classes(fields)


def is_number(value: Any) -> bool:
    """True for whole numbers and for floats, as far as float32 has them; booleans are none."""
    return type(value) in (int, float) and abs(value) <= LARGEST_FLOAT


def shown(value: Any) -> str:
    """A value in one short line, whatever it is."""
    try:
        line = " ".join(repr(value).split())
    except Exception:  # whole numbers of more than 4300 digits, and what a class may do
        line = f"a {type(value).__name__}"
    return line if len(line) <= 80 else line[:77] + "..."


def _of_picture(fields: dict[str, Any]) -> list[str]:
    size, stride = fields.get("drawing.size"), fields.get("model.cnn.stem_stride")
    width = fields.get("drawing.stroke_width")
    problems = []
    encoder = fields.get("model.cnn.encoder")
    draws = fields.get("model.branches") != "rnn"
    if draws and size is not None and stride is not None and encoder is not None:
        strides, pixels = SMALLEST_PICTURE[encoder]
        smallest = strides * stride + pixels
        if size < smallest:
            problems.append(
                f"drawing.size={size} leaves nothing after the last pooling with "
                f"model.cnn.stem_stride={stride}; try a size of {smallest} or more"
            )
    if size is not None and width is not None and width > size / 4:
        problems.append(
            f"drawing.stroke_width={width!r} is more than a quarter of drawing.size={size}; "
            "take 1 to 2 pixels"
        )
    return problems


def _of_batches(fields: dict[str, Any], devices: int) -> list[str]:
    return [
        f"{name}={fields[name]} does not divide over {devices} devices; "
        f"try {max(1, fields[name] // devices) * devices}"
        for name in ("train.batch_size", "evaluation.batch_size")
        if fields.get(name, devices) % devices
    ]


def _of_model(fields: dict[str, Any]) -> list[str]:
    """What a model and its stages must be to one another."""
    epochs = {stage: fields.get(f"stages.{stage}.epochs", 1) for stage in STAGES}
    branches, problems = fields.get("model.branches", "both"), []
    pretrained = fields.get("train.pretrained", "")
    trained = [s for s in STAGES if epochs[s] and has_place(s, branches, pretrained)]
    if not trained:
        problems.append("no stage trains anything; give stages.joint.epochs at least 1")
    elif branches == "both" and trained[-1] not in HASHING_STAGES:
        problems.append(
            "no stage trains the hash layer; give stages.joint.epochs at least 1, or "
            "model.branches=cnn or rnn to recognise with that branch alone"
        )
    if fields.get("model.recognition_features"):
        wrong = [
            f"stages.{stage}.losses.{loss}"
            for stage in HASHING_STAGES
            for loss in ("quantization", "contrastive", "semantic")
            if epochs[stage] and fields.get(f"stages.{stage}.losses", {}).get(loss)
        ]
        if wrong:
            problems.append(
                f"{', '.join(wrong)}: codes have no place in a network that recognises; set it "
                "to 0, or model.recognition_features to 0"
            )
    return problems


def _of_classes(fields: dict[str, Any]) -> list[str]:
    problems = []
    chosen, batch = fields.get("train.classes_per_batch", 0), fields.get("train.batch_size", 0)
    if chosen and batch % chosen:
        problems.append(
            f"train.batch_size={batch} does not divide over train.classes_per_batch={chosen}; "
            f"try {max(1, batch // chosen) * chosen}"
        )
    pairs = [
        f"stages.{stage}.losses.contrastive"
        for stage in HASHING_STAGES
        if fields.get(f"stages.{stage}.losses", {}).get("contrastive")
    ]
    if pairs and batch == 1:
        problems.append(f"train.batch_size=1 has no pairs for {pairs[0]}; take 2 or more")
    unseen, all_names = fields.get("data.unseen", ()), fields.get("data.categories", ())
    if unseen and fields.get("data.unseen_count"):
        problems.append("data.unseen names categories, data.unseen_count draws them; use one")
    missing = [name for name in unseen if all_names and name not in all_names]
    if missing:
        problems.append(f"data.unseen={shown(missing)} are not among data.categories")
    return problems


def _of_data(fields: dict[str, Any]) -> list[str]:
    problems = []
    if fields.get("data.source") == "synthetic" and fields.get("data.synthetic_per_category") == 0:
        problems.append("data.synthetic_per_category=0 with data.source=synthetic; try 300")
    if "data.splits" in fields and not fields.get("data.split_file"):
        problems += _of_splits(fields["data.splits"], fields.get("evaluation.queries", "query"))
    return problems


def _of_splits(splits: dict[str, Any], queries: str) -> list[str]:
    problems = []
    for name, share in splits.items():
        if name not in SPLITS:
            problems.append(
                f"data.splits.{name}={shown(share)} is no split; there are {', '.join(SPLITS)}"
            )
        elif not is_number(share) or not 0 <= share <= LARGEST_INT:
            problems.append(
                f"data.splits.{name}={shown(share)}; give how many sketches, or a fraction"
            )
    if problems:
        return problems
    kinds = {type(share) for share in splits.values() if share}
    if len(kinds) > 1:
        problems.append(
            f"data.splits={shown(splits)} mixes numbers of sketches and fractions; use one"
        )
    elif float in kinds and sum(splits.values()) > 1 + 1e-9:
        problems.append(
            f"data.splits={shown(splits)} adds up to more than 1; take fractions of a whole"
        )
    empty = [name for name in ("train", "gallery", queries) if not splits.get(name)]
    if empty:
        problems.append(
            f"data.splits={shown(splits)} gives nothing to {', '.join(empty)}; each needs sketches"
        )
    return problems


def _of_losses(fields: dict[str, Any], stage: str) -> list[str]:
    path = f"stages.{stage}.losses"
    known = LOSSES if stage in HASHING_STAGES else LOSSES[:1]
    weights = fields.get(path)
    if weights is None:
        return []
    problems = []
    for name, weight in weights.items():
        if name not in LOSSES:
            choices = ", ".join(LOSSES)
            problems.append(f"{path}.{name}={shown(weight)} is no loss; there are {choices}")
        elif not is_number(weight) or weight < 0:
            problems.append(f"{path}.{name}={shown(weight)}; give a weight of at least 0")
        elif weight and name not in known:
            problems.append(f"{path}.{name}={weight!r}; stage {stage} can have {', '.join(known)}")
    if not problems and fields.get(f"stages.{stage}.epochs") and not any(weights.values()):
        problems.append(
            f"{path}={shown(weights)} has no weight above 0; give {path}.cross_entropy=1.0"
        )
    return problems
