"""How good the answers are: questions whose answers are known, measures, and their intervals."""
