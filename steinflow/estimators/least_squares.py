"""Weighted least squares by orthogonal transformations, for weights of any range.

Normal equations square the range of the weights and fail where one draw has nearly all
of it (ESS near 1), which is where low temperatures live.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def centred(
    rows: Float[Array, "k d"], weight: Float[Array, " k"], heaviest: Int[Array, ""]
) -> Float[Array, "k d"]:
    """rows minus their weighted mean, taken by way of the heaviest row.

    Differences to that row keep its small distance to the mean exact, which a plain mean
    rounds away.
    """
    offset = rows - rows[heaviest]
    return offset - weight @ offset


def least_squares(
    matrix: Float[Array, "k d"], rhs: Float[Array, "k e"]
) -> Float[Array, "d e"]:
    """argmin |matrix X - rhs| by modified Gram-Schmidt, with one step of refinement.

    Columns are scaled to one length first; a column that depends on the ones before it
    gets coefficient zero. Vectorises over a batch, unlike LAPACK's QR.
    """
    scale = jnp.sqrt(jnp.sum(matrix**2, axis=0))
    matrix = matrix / jnp.where(scale > 0, scale, 1.0)
    columns, triangle = orthogonalise(matrix)
    solution = project(columns, triangle, rhs)
    solution = solution + project(columns, triangle, rhs - matrix @ solution)
    return solution / jnp.where(scale > 0, scale, 1.0)[:, None]


def orthogonalise(matrix: Array) -> tuple[Array, Array]:
    """matrix = columns @ triangle with orthonormal (or zero) columns."""
    dim = matrix.shape[1]
    rank_tolerance = 4.0 * jnp.finfo(matrix.dtype).eps * dim
    rest, columns, rows = matrix, [], []
    for j in range(dim):
        length = jnp.sqrt(jnp.sum(rest[:, j] ** 2))
        column = jnp.where(length > rank_tolerance, rest[:, j] / length, 0.0)
        row = (column @ rest) * (jnp.arange(dim) >= j)
        rest = rest - column[:, None] * row
        columns.append(column)
        rows.append(row)
    return jnp.stack(columns, axis=1), jnp.stack(rows)


def project(columns: Array, triangle: Array, rhs: Array) -> Array:
    """Back substitution of triangle X = columns^T rhs; zero where a column is zero."""
    parts = []
    for j in range(columns.shape[1]):
        part = columns[:, j] @ rhs
        rhs = rhs - columns[:, j : j + 1] * part
        parts.append(part)
    solution = jnp.zeros((columns.shape[1], rhs.shape[1]), rhs.dtype)
    for j in reversed(range(columns.shape[1])):
        pivot = triangle[j, j]
        value = (parts[j] - triangle[j] @ solution) / jnp.where(pivot > 0, pivot, 1.0)
        solution = solution.at[j].set(jnp.where(pivot > 0, value, 0.0))
    return solution


