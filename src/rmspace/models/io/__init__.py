"""Models as folders: format, registry, and the files in them."""
