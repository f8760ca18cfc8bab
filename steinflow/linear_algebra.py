"""Small dense linear algebra in plain array operations.

Least squares is by orthogonal transformations: normal equations square the range of the
weights and fail where one draw has nearly all of it (ESS near 1), which is where low
temperatures live. LAPACK is not called at all: batched under vmap it can hang on a CPU
with few cores (docs/decisions.md), and for small d it is slower.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

UNROLLED = 4  # loops over at most so many columns are written out
SMALL = 16  # matrices up to here are factorised column by column


def centred(
    rows: Float[Array, "k d"], weight: Float[Array, " k"], heaviest: Int[Array, ""]
) -> Float[Array, "k d"]:
    """rows minus their weighted mean, taken by way of the heaviest row.

    Differences to that row keep its small distance to the mean exact, which a plain mean
    rounds away.
    """
    offset = rows - rows[heaviest]
    return offset - jnp.sum(weight[:, None] * offset, axis=0)


def least_squares(matrix: Float[Array, "k d"], rhs: Float[Array, "k e"]) -> Float[Array, "d e"]:
    """argmin |matrix X - rhs| by modified Gram-Schmidt.

    Columns are scaled to one length first; a column that depends on the ones before it
    gets coefficient zero. Vectorises over a batch, unlike LAPACK's QR.
    """
    scale = jnp.sqrt(jnp.sum(matrix**2, axis=0))
    scale = jnp.where(scale > 0, scale, 1.0)
    matrix = matrix / scale
    columns, triangle = orthogonalise(matrix)
    return solve(columns, triangle, rhs) / scale[:, None]


def orthogonalise(matrix: Array) -> tuple[Array, Array]:
    """matrix = columns @ triangle with orthonormal (or zero) columns."""
    dim = matrix.shape[1]
    tolerance = 4.0 * np.finfo(matrix.dtype).eps * dim

    def body(j: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, triangle = state  # columns before j are done, those from j on are left
        length = jnp.sqrt(rest[:, j] @ rest[:, j])
        column = rest[:, j] * jnp.where(length > tolerance, 1.0 / length, 0.0)
        later = jnp.arange(dim) > j
        row = jnp.where(later, column @ rest, 0.0)
        rest = (rest - column[:, None] * row).at[:, j].set(column)
        row = row.at[j].set(jnp.where(length > tolerance, length, 0.0))
        return rest, triangle.at[j].set(row)

    start = matrix, jnp.zeros((dim, dim), matrix.dtype)
    return jax.lax.fori_loop(0, dim, body, start, unroll=dim <= UNROLLED)


def solve(columns: Array, triangle: Array, rhs: Array) -> Array:
    """Back substitution of triangle X = columns^T rhs; zero where a column is zero."""
    dim = columns.shape[1]

    def project(j: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, parts = state
        part = columns[:, j] @ rest
        return rest - columns[:, j][:, None] * part, parts.at[j].set(part)

    def substitute(step: Array, solution: Array) -> Array:
        j = dim - 1 - step
        pivot = triangle[j, j]
        value = (parts[j] - triangle[j] @ solution) / jnp.where(pivot > 0, pivot, 1.0)
        return solution.at[j].set(jnp.where(pivot > 0, value, 0.0))

    zeros = jnp.zeros((dim, rhs.shape[1]), rhs.dtype)
    _, parts = jax.lax.fori_loop(0, dim, project, (rhs, zeros), unroll=dim <= UNROLLED)
    return jax.lax.fori_loop(0, dim, substitute, zeros, unroll=dim <= UNROLLED)


def inverse_root(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """W = L^-1 for the Cholesky factor L of a positive definite matrix: W^T W is its
    inverse, and -2 Σ log diag W the logarithm of its determinant.

    By halves down to small ones, so that nearly all of it is matrix products.
    """
    dim = matrix.shape[0]
    if dim <= SMALL:
        return small_inverse_root(matrix)
    half = dim // 2
    first = inverse_root(matrix[:half, :half])
    below = matrix[half:, :half] @ first.T
    rest = inverse_root(matrix[half:, half:] - below @ below.T)
    corner = -rest @ below @ first
    return jnp.block([[first, jnp.zeros((half, dim - half), matrix.dtype)], [corner, rest]])


def small_inverse_root(matrix: Array) -> Array:
    """The same, column by column."""
    dim = matrix.shape[0]

    def factor(j: Array, lower: Array) -> Array:
        column = matrix[:, j] - lower @ lower[j]
        return lower.at[:, j].set(jnp.where(jnp.arange(dim) >= j, column, 0) / column[j] ** 0.5)

    lower = jax.lax.fori_loop(0, dim, factor, jnp.zeros_like(matrix))

    def substitute(j: Array, inverse: Array) -> Array:
        row = jnp.eye(dim, dtype=matrix.dtype)[j] - lower[j] @ inverse
        return inverse.at[j].set(row / lower[j, j])

    return jax.lax.fori_loop(0, dim, substitute, jnp.zeros_like(matrix))
