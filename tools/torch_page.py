"""Run the blocks of docs/diagnosis.md and docs/pytorch.md that need PyTorch: `make torch`.

python -m tools.torch_page
"""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import steinflow as sf

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"```python notest\n(.*?)```", re.DOTALL)


def names_of(page: Path, blocks: slice = slice(None)) -> dict[str, Any]:
    """What the blocks of a page define: its own code, from this repository, in one namespace."""
    names: dict[str, Any] = {}
    for block in BLOCK.findall(page.read_text("utf-8"))[blocks]:
        exec(compile(block, str(page), "exec"), names)
    return names


def check_diagnosis() -> None:
    """Run the page, and hold the gradients of its critic against finite differences."""
    names = names_of(DOCS / "diagnosis.md")
    diagnosis, on_host = names["diagnosis"], names["on_host"]
    assert diagnosis.rows.height == 2 * 2 * 4 and diagnosis.rows["resolved"].any()
    action, observation = np.full((1, 2), 0.3, np.float32), np.ones((1, 3), np.float32)
    _, gradient = on_host(action, observation)
    for j in range(2):
        step = np.eye(2, dtype=np.float32)[j] * 1e-2
        rise = on_host(action + step, observation)[0] - on_host(action - step, observation)[0]
        assert abs(rise[0] / 2e-2 - gradient[0, j]) < 1e-2


def check_scores() -> None:
    """The scores of the page's critic are those of a JAX critic with its weights, to 1e-5."""
    names = names_of(DOCS / "pytorch.md", slice(1))
    first, bias, last, shift = (
        jnp.asarray(p.detach().numpy()) for p in names["critic"].parameters()
    )

    def q(action: jax.Array, observation: jax.Array) -> jax.Array:
        hidden = jax.nn.silu(first @ jnp.concatenate([observation, action]) + bias)
        return (last @ hidden + shift)[0]

    context = jnp.asarray(names["observations"].numpy())
    target = sf.Boltzmann(q, 0.1, sf.Box(-1.0, 1.0), context)
    in_jax = sf.score_targets(
        jax.random.key(1), target, names["xs"], names["levels"], num_draws=8
    ).score
    error = jnp.abs(names["result"].score - in_jax)
    scale = jnp.max(jnp.abs(in_jax), axis=-1, keepdims=True)
    print(f"torch beside JAX: largest difference {float(jnp.max(error / scale)):.1e} of a score")
    assert jnp.all(error <= 1e-5 * scale)


def main() -> None:
    """Run both pages."""
    check_diagnosis()
    check_scores()
    distance = names_of(DOCS / "pytorch.md")["distance"]
    print(f"The PyTorch pages run; the loop ends at {float(distance):.3f} from the best action.")


if __name__ == "__main__":
    main()
