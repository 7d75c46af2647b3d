"""The command ``zoetrope``."""
