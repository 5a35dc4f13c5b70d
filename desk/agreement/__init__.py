"""How far reviewers agree, from the decisions with votes."""
