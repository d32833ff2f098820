"""A reward model of text behind HTTP: forms of requests, limits, batches, metrics, and the server."""
