"""A bench module without a bench."""
