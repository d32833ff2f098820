"""One file a source of banks; each reader returns a bank, or (train, test)."""
