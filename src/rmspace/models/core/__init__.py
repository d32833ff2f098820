"""The parts that models share: input, training, gradients, precision, reuse."""
