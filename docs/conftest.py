"""Blocks of a page that go on from one another run once, in order, as one test."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out a block that the next block of its page repeats and goes on from."""
    code = [getattr(item, "code", None) for item in items]
    repeated = [
        isinstance(own, str) and isinstance(after, str) and after.startswith(own)
        for own, after in zip(code, [*code[1:], None], strict=True)
    ]
    config.hook.pytest_deselected(items=[i for i, r in zip(items, repeated, strict=True) if r])
    items[:] = [item for item, again in zip(items, repeated, strict=True) if not again]
