"""How docs/ becomes a site: sphinx-build -c hack/docs docs dist/site.

The pages are plain Markdown as the repository's own web view shows it; what
differs there is put right here.
"""

import hashlib
import pathlib
import re
import subprocess
import sys

from docutils import nodes
from docutils.parsers.rst import Directive

root = pathlib.Path(__file__).resolve().parents[2]

project = "mcp-sampling-operator"
author = "the authors of mcp-sampling-operator"
html_title = project
extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "index"
source_suffix = {".md": "markdown"}
exclude_patterns = ["examples/**"]

# Headings get the anchors that links in the pages use, also on the repository's
# web view; a link to none of them is a warning, and warnings end the build.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
suppress_warnings = [
    "myst.header",  # pages that other programs write skip a level
]
nitpicky = True

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp"
html_theme_options = {
    # Fonts of the reader's own machine: nothing is loaded from elsewhere.
    "light_css_variables": {
        "font-stack": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
        "font-stack--monospace": "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace",
        "color-brand-primary": "#0b5cad",
        "color-brand-content": "#0b5cad",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6cb6ff",
        "color-brand-content": "#6cb6ff",
    },
    "navigation_with_keys": True,
    "top_of_page_buttons": [],
}

REPOSITORY = "https://github.com/mcp-sampling/mcp-sampling-operator"
OUTSIDE = re.compile(r"\]\(((?:\.\./)+[^)\s]*)\)")
FENCE = re.compile(r"(?ms)^```.*?^```$")


def links_out_of_the_site(app, docname, source):
    """Lets links to files beside docs/ lead to the repository."""
    here = pathlib.Path(app.srcdir, docname).parent

    def replace(match):
        path, hash_, anchor = match[1].partition("#")
        target = (here / path).resolve()
        if target.is_relative_to(app.srcdir):
            return match[0]
        if not target.exists():
            raise FileNotFoundError(f"{docname}: the link {match[1]} leads nowhere")
        kind = "tree" if target.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{target.relative_to(root)}{hash_}{anchor})"

    text = source[0].replace("](decisions)", "](decisions/index.md)")
    if docname == "index":  # pages that are on their way stand in the table already
        for page in ("kubectl-mcp", "observe"):
            if not pathlib.Path(app.srcdir, page + ".md").exists():
                text = text.replace(f"\n{page}\n", "\n")
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [OUTSIDE.sub(replace, text[end : fence.start()]), fence[0]]
        end = fence.end()
    source[0] = "".join(parts) + OUTSIDE.sub(replace, text[end:])


class Mermaid(Directive):
    """A picture that is drawn now, so that no reader's browser loads a program for it."""

    has_content = True
    option_spec = {}

    def run(self):
        env = self.state.document.settings.env
        text = "\n".join(self.content)
        name = f"picture-{hashlib.sha256(text.encode()).hexdigest()[:12]}.svg"
        path = pathlib.Path(env.app.outdir, "_images", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            command = [sys.executable, "-m", "mermaidx", "-t", "neutral", "-q", "-i", "-", "-o", str(path)]
            done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=300)
            if done.returncode or not path.exists():
                raise self.error(f"this picture cannot be drawn: {done.stderr.strip()}")
        title = next((t.split(":", 1)[1].strip() for t in self.content if t.strip().startswith("accTitle:")), "")
        if not title:
            raise self.error("a picture needs a line accTitle: with what it shows, for those who do not see it")
        up = "../" * env.docname.count("/")
        return [nodes.raw("", f'<p class="picture"><img src="{up}_images/{name}" alt="{title}"></p>', format="html")]


def setup(app):
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", links_out_of_the_site)
