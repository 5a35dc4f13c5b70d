"""The agents. Each module with an agent's name builds the pipeline of that agent."""
