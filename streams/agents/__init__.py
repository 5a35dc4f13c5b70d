"""The agents. Each module builds the pipeline of the agent that it is named for."""
