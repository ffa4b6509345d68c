"""Where decoded images are kept."""
