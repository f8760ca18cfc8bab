"""What every report is made of."""

import polars as pl

from steinflow.report.pages import latex_of


def test_a_table_in_latex_is_escaped():
    assert latex_of(pl.DataFrame({"a_b": ["5 % & {x}"], "n": [3]})) == (
        "\\begin{tabular}{lr}\n\\toprule\na\\_b & n \\\\\n\\midrule\n5 \\% \\& \\{x\\} & 3 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )
