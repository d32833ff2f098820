"""Computing the cells of a study, in this process or on workers."""
