"""Computing cells: one, in this process, and on workers."""
