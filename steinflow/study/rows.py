"""rows.parquet: one row a condition and estimator. Columns are described in docs/columns.md."""

import numpy as np
import polars as pl

from steinflow.study.cell import names
from steinflow.study.conditions import Cell, Grid
from steinflow.study.extras import Extra
from steinflow.study.measure import Measures

NULLABLE = ("c", "limit_norm", "network_cosine", "network_cosine_se")
EXACT_COLUMNS = ("score_norm2", "trace", "best_c", "best_c_printed", "flux_norm")


def part_rows(grid: Grid, cell: Cell, part: dict[str, np.ndarray]) -> pl.DataFrame:
    """The rows of one cell: every N and estimator, in a fixed order."""
    labels = names(cell.box, tuple(map(Extra, grid.estimators)))
    sizes, count = len(grid.num_draws), len(labels)
    total = sizes * count

    def each_size(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.asarray(values), count)

    limit = {
        ("noise", "as printed"): part["exact.norm_noise"],
        ("gradient", "as printed"): part["exact.norm_gradient"],
    }
    columns: dict[str, object] = {
        "q": [cell.family] * total,
        "tau": np.full(total, cell.tau),
        "num_draws": np.repeat(np.array(grid.num_draws), count),
        "alpha": np.full(total, cell.alpha),
        "sigma": np.full(total, float(cell.level.sigma)),
        "dim": np.full(total, cell.dim),
        "box": np.full(total, cell.box),
        "estimator": [label[0] for label in labels] * sizes,
        "convention": [label[1] for label in labels] * sizes,
        "c": [label[2] for label in labels] * sizes,
    }
    for name in Measures._fields:
        columns[name] = part[f"measure.{name}"].ravel()
    network = part["network"]
    error = network.std(axis=1, ddof=1) / np.sqrt(network.shape[1])
    for name, values in (("network_cosine", network.mean(axis=1)), ("network_cosine_se", error)):
        columns[name] = [
            float(value) if label[:2] == ("gradient", "calibrated") else None
            for value in values
            for label in labels
        ]
    for name in ("ess", "ess_se", "max_weight"):
        columns[name] = each_size(part[name])
    for name in EXACT_COLUMNS:
        columns[name] = np.full(total, float(part[f"exact.{name}"]))
    columns["limit_norm"] = [
        None if label[:2] not in limit else float(limit[label[:2]]) for label in labels
    ] * sizes
    columns["trials"] = np.full(total, grid.trials)
    columns["query_points"] = np.full(total, grid.query_points)
    columns["seed"] = np.full(total, grid.seed)
    return pl.DataFrame(columns, schema_overrides=dict.fromkeys(NULLABLE, pl.Float64))
