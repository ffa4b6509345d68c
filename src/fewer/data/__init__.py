"""Images: listing, splitting, decoding, augmenting, batching. Import from the modules; listing needs no torch."""
