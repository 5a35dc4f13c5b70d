"""Tasks that are not for everybody: those on which the votes differ, and those that a reviewer flagged."""
