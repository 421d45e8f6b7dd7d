"""How far does a batch go? The phases of a relaxation, each with its steps, and what is left."""

Plan = tuple[tuple[str, int], ...]
"""Name and T of each phase, in order."""


def rows_of(plan: Plan) -> int:
    """Rows of a batch: each phase has one more than steps."""
    return sum(T + 1 for _, T in plan)


def left(plan: Plan, phase: str, t: int) -> int:
    """Rows that follow step t of a phase until the last phase has had its steps; 0 past its end."""
    at = [name for name, _ in plan].index(phase)
    return max(plan[at][1] - t, 0) + rows_of(plan[at + 1 :])
