"""Listings of images: folders, archives, splits, manifests."""
