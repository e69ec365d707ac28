"""Pages to look at: a document's stance map, the same for a notebook, and the overview of a corpus.

Every page is one file that asks for nothing from anywhere. What was read (texts, titles, names, dates) is untrusted,
and reaches a page through `stancelib.html.markup.escape` only.
"""

from stancelib.html.corpus import corpus_page
from stancelib.html.document import document_fragment, document_page

__all__ = ["corpus_page", "document_fragment", "document_page"]
