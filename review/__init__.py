"""What a person does with a task. `session`, `work` and `span` know no terminal, so a web desk can use them too."""
