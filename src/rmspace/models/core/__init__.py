"""What the models share: input, training, gradients, precision, reuse."""
