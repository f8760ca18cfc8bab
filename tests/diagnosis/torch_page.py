"""Run the block of docs/diagnosis.md that needs PyTorch: `make torch` (several GB).

python tests/diagnosis/torch_page.py
"""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parent.parent.parent / "docs" / "diagnosis.md"


def main() -> None:
    """Run it, and hold its gradients against finite differences."""
    (block,) = re.findall(r"```python notest\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, str(PAGE), "exec"), names)  # the page's own code, from this repository
    found, on_host = names["found"], names["on_host"]
    assert found.rows.height == 2 * 2 * 4 and found.rows["resolved"].any()  # type: ignore[attr-defined]
    action, seen = np.full((1, 2), 0.3, np.float32), np.ones((1, 3), np.float32)
    _, slope = on_host(action, seen)  # type: ignore[operator]
    for j in range(2):
        step = np.eye(2, dtype=np.float32)[j] * 1e-2
        rise = on_host(action + step, seen)[0] - on_host(action - step, seen)[0]  # type: ignore[operator]
        assert abs(rise[0] / 2e-2 - slope[0, j]) < 1e-2
    print("The PyTorch example runs.")


if __name__ == "__main__":
    main()
