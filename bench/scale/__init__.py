"""Scale: what a registry sends, and when the last node has an image, in clusters larger than any at hand."""
