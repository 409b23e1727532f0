"""Settings of the documentation site: `sphinx-build -W --keep-going -n -b html docs docs/_build/html`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from amili_arm_async import __version__

project = "amili_arm_async"
author = "The authors of amili_arm_async"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstring_markup", "generated_reference"]
exclude_patterns = ["_build", "_ext"]

# A -- in an option stays what it is.
smartquotes = False

html_theme = "furo"
html_title = f"amili_arm_async {__version__}"
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
# Links such as bulk.md#states are checked.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# References in docstrings are checked. Types in signatures are links where they are public; those of other projects are not looked up, so
# that the site builds without a network.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", "Decimal")]
