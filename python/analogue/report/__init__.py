"""Reports: terminal tables, and run folders with their figures."""

from __future__ import annotations

from pathlib import Path

from ..comparison import Comparison
from ..grid import Grid
from ..runs import new_run
from .ablation import ablation_tables as ablation_tables
from .concept_words import coverage_table as coverage_table
from .concept_words import keywords_table as keywords_table
from .concept_words import specificity_table as specificity_table
from .concept_words import suggestion_table as suggestion_table
from .concepts import concept_figure as concept_figure
from .concepts import concept_tables as concept_tables
from .concepts import save_concepts as save_concepts
from .explanation import explanation_tables as explanation_tables
from .figures import draw_comparison as draw_comparison
from .figures import draw_grid as draw_grid
from .grading import write_grading as write_grading
from .layout import beside as beside
from .layout import name_of as name_of
from .layout import title_of as title_of
from .showing import shown_tables as shown_tables
from .tables import tables as tables


def save(
    result: Comparison | Grid, directory: str | Path, *, overwrite: bool = False, activations: bool = True
) -> None:
    """Write a result's run folder with its figures, whole or not at all.

    Parameters
    ----------
    result : Comparison or Grid
    directory : path
        The folder to make.
    overwrite : bool
        Replace a run that stands there; a folder that is no run is never replaced.
    activations : bool
        Save the activations too.
    """
    with new_run(directory, overwrite=overwrite) as folder:
        result.write_into(folder, activations=activations)
        if isinstance(result, Comparison):
            draw_comparison(result, folder / "figures")
            return
        draw_grid(result, folder / "figures")
        for name, comparison in result.comparisons.items():
            draw_comparison(comparison, folder / name / "figures")
        result.seal_cells(folder)
