"""People decide what the model could not. `session` and `work` know no terminal: a browser desk uses them as well."""
