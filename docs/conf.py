"""Sphinx configuration; `make docs` builds with warnings as errors."""

import sslprep

project = "sslprep"
copyright = "the sslprep developers"  # noqa: A001 - Sphinx reads this name
release = version = sslprep.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"sslprep {version}"
html_static_path: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["cv2", "torch", "safetensors", "distributed"]
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the types stand in the class already
