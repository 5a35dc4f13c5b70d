"""What a person does with a task. `session`, `work` and `span` need no terminal, so a web page can use them too."""
