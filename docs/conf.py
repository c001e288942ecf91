"""How the site is built: `make docs`, strictly and without the network."""

import gpustack

project = "gpustack"
author = copyright = "The gpustack developers"  # noqa: A001 - the name that Sphinx looks for
version = release = gpustack.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"gpustack {version}"
html_static_path = []

myst_enable_extensions = ["dollarmath"]
#: Links such as maps.md#growing go to headings down to the third level.
myst_heading_anchors = 3

#: `word` in a docstring is code: what parameters are called is no target of a link.
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
#: Pages list what is in a class where it says something; fields are its parameters.
numpydoc_show_class_members = False

nitpicky = True
#: Classes of other packages have no page here, and their inventories would need the network.
nitpick_ignore_regex = []
