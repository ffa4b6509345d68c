"""The machine: device, precision, memory, determinism, environment."""
