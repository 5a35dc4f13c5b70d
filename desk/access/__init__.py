"""Who may use the desk, and for what."""
