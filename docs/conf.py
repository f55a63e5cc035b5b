"""Sphinx configuration of the documentation; ``make docs`` builds it, without network."""

from __future__ import annotations

from sphinx.application import Sphinx

from nirfire import __version__

project = "nirfire"
copyright = "the nirfire team"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebook holds its outputs

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # types as they are written: "ndarray, shape (n_spat, n_wave) [uJy]" is no name to link
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_typehints = "none"  # the docstrings give types, shapes and units
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
default_role = "literal"
toc_object_entries = False

html_theme = "furo"
html_title = f"nirfire {release}"
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Read docstrings as text: a bar, as in |flux|, is an absolute value and no substitution."""
    app.connect("autodoc-process-docstring", _keep_bars, priority=0)


def _keep_bars(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = [line.replace("|", r"\|") for line in lines]
