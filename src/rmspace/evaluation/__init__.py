"""What the scores of a reward model are worth against gold rewards."""
