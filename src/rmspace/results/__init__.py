"""Tables of results: how they are made, summarised and compared."""
