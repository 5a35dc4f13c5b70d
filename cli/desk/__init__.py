"""`mner desk` serves the web application, and keeps its users and tokens."""
