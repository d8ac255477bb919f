"""What a user reads when something is wrong."""

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from segnb.presets import PRESETS


def test_a_bad_parameter_is_one_line_under_its_cell_with_the_choices():
    source = "from segnb.presets import preset\npreset('quik')"
    notebook = new_notebook(cells=[new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", allow_errors=True).execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "error" and output.ename == "SegnbError"
    told = f"unknown preset 'quik' (expected one of {', '.join(PRESETS)})"
    assert output.traceback == [told] and output.evalue == told
    nbformat.validate(notebook)
