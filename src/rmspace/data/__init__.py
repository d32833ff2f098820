"""The data: banks, preferences, their files, splits and health."""
