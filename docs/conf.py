"""How the site is built: `make docs`, strictly and without the network."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.util.docutils import SphinxRole

import gpustack

project = "gpustack"
author = "The gpustack developers"
version = release = gpustack.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"gpustack {version}"
html_show_copyright = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]

#: Links such as maps.md#growing go to headings down to the third level.
myst_heading_anchors = 3

default_role = "name"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# Fields of a class are its parameters; a page says of which classes it shows methods.
numpydoc_show_class_members = False

# With -n, each target has to be found. There is nothing to ignore: what is of other packages is
# shown as code, as their inventories would need the network.
nitpicky = True


class Name(SphinxRole):
    """What stands between backticks in a docstring: a link for a public name, else code."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link or the code."""
        name = self.text.removeprefix("gpustack.")
        if name in gpustack.__all__:
            link: Any = PythonDomain.roles["obj"]
            text = f"{name} <gpustack.{name}>"
            return link("py:obj", self.rawtext, text, self.lineno, self.inliner)
        short = self.text.rpartition(".")[2] if self.text.startswith("~") else self.text
        return [nodes.literal(self.rawtext, short)], []


def setup(app: Sphinx) -> None:
    """Add the role that all words between backticks have."""
    app.add_role("name", Name())
