"""The rows of the paper's tables, with what a study has found so far."""

from __future__ import annotations

from collections.abc import Iterator

from sketchjax.paper.report.material import StudyRow
from sketchjax.paper.study.measure import SHALLOW_NAMES, cost, kinds, part_name, shallow
from sketchjax.paper.study.plan import Key, all_methods, run_folder, table_methods
from sketchjax.paper.study.state import Study
from sketchjax.run.writers import read_results

# By table: the metrics of its rows, and the key of results.json that has each.
METRICS = {
    "1": {name: name for name in ("map", "precision_at_200", "map_best", "map_worst")},
    "4": {
        "d1": "feature_d1",
        "d2": "feature_d2",
        "d1_over_d2": "feature_d1_over_d2",
        "map": "map",
    },
    "6": {"accuracy": "accuracy"},
    "zero-shot": {"map": "map", "precision_at_200": "precision_at_200"},
}


def table_rows(study: Study, table: str) -> list[StudyRow]:
    """The rows of a table in the paper's order, at every code length."""
    if table == "2":
        return list(_shallow_rows(study))
    if table == "5":
        return list(_cost_rows(study))
    return list(_run_rows(study, table))


def _run_rows(study: Study, table: str) -> Iterator[StudyRow]:
    methods, zero_shot = all_methods(study.config), table == "zero-shot"
    lengths = (study.config.zero_shot_bits,) if zero_shot else study.config.bits
    for name in table_methods(study.config, table):
        method = methods[name]
        for bits in lengths if method.by_bits else (None,):
            keys = [Key(name, bits, seed, zero_shot) for seed in study.config.seeds]
            found = [read_results(run_folder(study.workdir, key.name)) for key in keys]
            finished = [results for results in found if results is not None]
            failed = [study.failures[key.name] for key in keys if key.name in study.failures]
            yield StudyRow(
                table=table,
                model=method.label,
                values={
                    metric: [results[key] for results in finished]
                    for metric, key in METRICS[table].items()
                },
                bits=bits,
                paper_model=method.paper,
                failed="; ".join(failed),
                missing=not finished,
            )


def _shallow_rows(study: Study) -> Iterator[StudyRow]:
    for kind in kinds(study.config):
        own = [shallow(study, kind, seed) for seed in study.config.seeds]
        found = [entry for measurement in own for entry in measurement.found()]
        for method, label in SHALLOW_NAMES.items():
            for bits in study.config.bits:
                part = {"method": method, "bits": bits}
                names = [name for m in own for name in (m.name, part_name(m.name, part))]
                values = [entry["map"] for entry in found if part.items() <= entry.items()]
                yield StudyRow(
                    table="2",
                    model=label,
                    values={"map": values},
                    bits=bits,
                    features=kind,
                    paper_model=label,
                    failed="; ".join(study.failures[n] for n in names if n in study.failures),
                    missing=not values,
                )


def _cost_rows(study: Study) -> Iterator[StudyRow]:
    for gallery in study.config.galleries:
        measurement = cost(study, gallery)
        entries = {entry["bits"]: entry for entry in measurement.found()}
        for bits in study.config.bits:
            entry = entries.get(bits, {})
            keys = ("seconds_per_query", "memory_mb")
            yield StudyRow(
                table="5",
                model="exhaustive search",
                values={key: [entry[key]] for key in keys if key in entry},
                bits=bits,
                failed=study.failures.get(measurement.name, ""),
                missing=not entry,
                gallery=gallery,
                note=entry.get("note", ""),
            )
