"""The paper's claims, each a criterion on measured numbers. A verdict is computed, never typed.

Every condition of a claim gets a simultaneous 95 % interval; it holds where the interval
lies inside the claim's region, contradicts where it lies outside, and is open otherwise.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from steinflow.study.evidence import (
    EVERY_TAU,
    MODERATE,
    Condition,
    Table,
    best_c,
    best_c_error,
    consistency,
    consistency_error,
    cosine,
    degradation,
    exact_ratio_change,
    gradient_excess,
    noise_excess,
    saving,
)
from steinflow.study.uncertainty import Floats, Interval, simultaneous

EVERY_Q = ("quadratic", "bimodal", "multimodal", "linear")
EXTREME = (0.01, 10.0)
RATIO_TOLERANCE = 1e-6


def grid(families: Iterable[str], taus: Iterable[float]) -> tuple[Condition, ...]:
    """All pairs."""
    taus = tuple(taus)
    return tuple((family, tau) for family in families for tau in taus)


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper and the test that it is put to."""

    id: str
    claim: str
    criterion: str
    conditions: tuple[Condition, ...]  # one interval each
    needs: tuple[Condition, ...]  # the rows it is computed from
    statistic: Callable[[Table, Condition], Floats]
    region: tuple[float, float]
    over_every_q: bool
    exact: bool = False  # computed by quadrature, the same at every N
    bounds: tuple[float, float] | None = None  # of the statistic
    error: Callable[[Table, Condition], Floats] | None = None  # its standard error, if known


ALL = grid(EVERY_Q, EVERY_TAU)
BOTH = tuple((*row, estimator) for row in ALL for estimator in ("noise", "gradient"))
INF = math.inf
CLAIMS = (
    Claim(
        "alignment-moderate",
        "At moderate temperatures the two objectives' cosine similarity exceeds 0.7.",
        "mean cosine > .7 at tau .5, 1, 2, every Q",
        grid(EVERY_Q, MODERATE),
        grid(EVERY_Q, MODERATE),
        cosine,
        (0.7, INF),
        True,
        bounds=(-1.0, 1.0),
    ),
    Claim(
        "alignment-degrades",
        "At extreme temperatures, low and high, the alignment degrades.",
        "cosine at tau .01 and at 10 below its mean over [.5, 2], every Q",
        grid(EVERY_Q, EXTREME),
        grid(EVERY_Q, (*MODERATE, *EXTREME)),
        degradation,
        (0.0, INF),
        True,
    ),
    Claim(
        "noise-wins-smooth",
        "Noise expectation has lower variance for smooth Q-functions.",
        "noise has lower variance on quadratic and on linear",
        grid(("quadratic", "linear"), EVERY_TAU),
        grid(("quadratic", "linear"), EVERY_TAU),
        noise_excess,
        (-INF, 0.0),
        False,
        bounds=(-1.0, 1.0),
    ),
    Claim(
        "gradient-wins-multimodal",
        "Gradient expectation has lower variance for multimodal Q-functions.",
        "gradient has lower variance on multimodal",
        grid(("multimodal",), EVERY_TAU),
        grid(("multimodal",), EVERY_TAU),
        gradient_excess,
        (-INF, 0.0),
        False,
        bounds=(-1.0, 1.0),
    ),
    Claim(
        "interior-coefficient",
        "For all Q-function types the least variance is at an intermediate coefficient.",
        "the c of least variance lies in [.25, .75], every Q",
        ALL,
        ALL,
        best_c,
        (0.25, 0.75),
        True,
        bounds=(0.0, 1.0),
        error=best_c_error,
    ),
    Claim(
        "saves-15-40",
        "The best blend reduces variance by 15-40 % below either pure objective.",
        "least variance over c is 15-40 % below the better of c = 0 and 1, every Q",
        ALL,
        ALL,
        saving,
        (0.15, 0.40),
        True,
        bounds=(0.0, 1.0),
    ),
    Claim(
        "ratio-depends-on-tau",
        "The two objectives are related by a temperature-dependent scaling.",
        "the ratio of the norms of the exact expectations changes with tau",
        grid(EVERY_Q, (1.0,)),
        ALL,
        exact_ratio_change,
        (RATIO_TOLERANCE, INF),
        True,
        True,
    ),
    Claim(
        "both-consistent",
        "Both objectives are consistent estimators of the score.",
        "bias -> 0 (as printed: for sigma s*, alpha s*; calibrated: for s*; boxes apart)",
        BOTH,
        ALL,
        consistency,
        (0.0, INF),
        True,
        error=consistency_error,
    ),
)


def condition_verdict(interval: Interval, region: tuple[float, float]) -> str:
    """holds, contradicts or open."""
    if not all(map(math.isfinite, interval)):
        return "open"
    if interval.high < region[0] or interval.low > region[1]:
        return "contradicts"
    return "holds" if region[0] < interval.low and interval.high < region[1] else "open"


def claim_verdict(verdicts: list[str], over_every_q: bool) -> str:
    """The claim's verdict from those of its conditions."""
    if verdicts and all(v == "holds" for v in verdicts):
        return "supported"
    if all(v == "open" for v in verdicts):
        return "undecided"
    if over_every_q:
        return "refuted" if "contradicts" in verdicts else "depends"
    return "depends" if "holds" in verdicts else "refuted"


def judge(claim: Claim, table: Table, trials: int) -> dict[str, Any]:
    """The claim's entry of claims.json at one noise level: intervals and verdict."""
    missing = [at for at in claim.needs if at not in table]
    measured = " ".join((claim.statistic.__doc__ or "").split())
    head: dict[str, Any] = {"id": claim.id, "claim": claim.claim, "criterion": claim.criterion}
    head["statistic"] = measured
    if missing:
        gone = [{"q": family, "tau": tau} for family, tau in missing]
        empty = {"estimate": None, "low": None, "high": None, "verdict": "incomplete"}
        return head | empty | {"conditions": [], "missing": gone}
    values = {at: claim.statistic(table, at) for at in claim.conditions}
    errors = {at: claim.error(table, at) for at in claim.conditions} if claim.error else None
    intervals = simultaneous(values, trials, claim.bounds, errors)
    conditions: list[dict[str, Any]] = []
    verdicts: list[str] = []
    for at, interval in intervals.items():
        verdict = condition_verdict(interval, claim.region)
        verdicts.append(verdict)
        where: dict[str, Any] = dict(zip(("q", "tau", "estimator"), at, strict=False))
        if claim.exact:
            del where["tau"]
        conditions.append(where | interval._asdict() | {"verdict": verdict})
    verdict = claim_verdict(verdicts, claim.over_every_q)
    decisive = decided_by(list(intervals.values()), verdicts, verdict, claim.region)
    entry: dict[str, Any] = head | intervals[claim.conditions[decisive]]._asdict()
    entry |= {"verdict": verdict, "decided_by": conditions[decisive], "conditions": conditions}
    if verdict == "undecided":
        entry["trials_to_decide"] = trials_to_decide(list(intervals.values()), claim.region, trials)
    return entry


def decided_by(
    intervals: list[Interval], verdicts: list[str], verdict: str, region: tuple[float, float]
) -> int:
    """The condition that a reader should look at: the clearest contradiction of a refuted
    claim, else the one nearest to failing."""

    def distance(k: int) -> float:  # how far the estimate is inside the region
        return min(intervals[k].estimate - region[0], region[1] - intervals[k].estimate)

    wanted = "contradicts" if verdict == "refuted" and "contradicts" in verdicts else None
    among = [k for k, v in enumerate(verdicts) if wanted in (None, v)]
    return min(among, key=distance)


def trials_to_decide(
    intervals: list[Interval], region: tuple[float, float], trials: int
) -> int | None:
    """How many trials would narrow every open interval to one side, roughly."""
    factors = []
    for interval in intervals:
        estimate, edges = interval.estimate, [edge for edge in region if math.isfinite(edge)]
        edge = min(edges, key=lambda edge: abs(estimate - edge))
        width = estimate - interval.low if edge < estimate else interval.high - estimate
        factors.append(math.inf if edge == estimate else (width / (estimate - edge)) ** 2)
    worst = max(factors)
    return math.ceil(trials * max(worst, 1.0)) if math.isfinite(worst) else None
