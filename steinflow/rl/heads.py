"""What a critic gives for Q, what it regresses on, and its loss: a distribution, or a number.

Written for one state and action; batches are `vmap` at the call. All values are in the critics' own
units, returns over `AgentState.scale`.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractHead(eqx.Module):
    """The last layer of a critic and its temporal-difference loss.

    Targets are linear in the outputs' distributions: those of several actions can be mixed.
    """

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Outputs of the network, k."""

    @abc.abstractmethod
    def mean(self, outputs: Float[Array, " k"]) -> Float[Array, ""]:
        """Q."""

    @abc.abstractmethod
    def shifted(
        self, outputs: Float[Array, " k"], reward: Float[Array, ""], discount: Float[Array, ""]
    ) -> Float[Array, " k"]:
        """The target reward + discount Q, Q of these outputs."""

    @abc.abstractmethod
    def loss(self, outputs: Float[Array, " k"], target: Float[Array, " k"]) -> Float[Array, ""]:
        """The distance of outputs from a target."""


class Scalar(AbstractHead):
    """Q itself, and the squared error."""

    @property
    def width(self) -> int:
        return 1

    def mean(self, outputs: Float[Array, " k"]) -> Float[Array, ""]:
        return outputs[0]

    def shifted(
        self, outputs: Float[Array, " k"], reward: Float[Array, ""], discount: Float[Array, ""]
    ) -> Float[Array, " k"]:
        return reward + discount * outputs

    def loss(self, outputs: Float[Array, " k"], target: Float[Array, " k"]) -> Float[Array, ""]:
        return jnp.sum((outputs - target) ** 2)


class Categorical(AbstractHead):
    """Logits of atoms z, evenly on [-bound, bound], and the cross-entropy, in nats.

        Q = Σ_j p_j z_j,   p = softmax(logits);   the target is p at r + gamma z, projected on z

    (Bellemare, Dabney & Munos, 2017).
    """

    atoms: int = eqx.field(static=True, default=51)
    bound: float = eqx.field(static=True, default=5.0)

    @property
    def width(self) -> int:
        return self.atoms

    @property
    def support(self) -> Float[Array, " k"]:
        """The atoms z."""
        return jnp.linspace(-self.bound, self.bound, self.atoms)

    def mean(self, outputs: Float[Array, " k"]) -> Float[Array, ""]:
        return jax.nn.softmax(outputs) @ self.support

    def shifted(
        self, outputs: Float[Array, " k"], reward: Float[Array, ""], discount: Float[Array, ""]
    ) -> Float[Array, " k"]:
        return projected(jax.nn.softmax(outputs), reward + discount * self.support, self.bound)

    def loss(self, outputs: Float[Array, " k"], target: Float[Array, " k"]) -> Float[Array, ""]:
        return -jnp.sum(target * jax.nn.log_softmax(outputs))


def projected(
    probabilities: Float[Array, " k"], values: Float[Array, " k"], bound: float
) -> Float[Array, " k"]:
    """Probabilities at any values, on k atoms evenly on [-bound, bound]: each is split between the
    two atoms beside its value, so that the mean stays; what is beyond an end goes to it."""
    count = probabilities.size
    place = jnp.clip((values + bound) * (count - 1) / (2.0 * bound), 0.0, count - 1.0)
    lower = jnp.minimum(jnp.floor(place), count - 2.0)
    share = place - lower
    parts = jnp.concatenate([(1.0 - share) * probabilities, share * probabilities])
    lower = lower.astype(jnp.int32)
    return jnp.zeros(count).at[jnp.concatenate([lower, lower + 1])].add(parts)


HEADS: dict[str, type[AbstractHead]] = {"categorical": Categorical, "mse": Scalar}
