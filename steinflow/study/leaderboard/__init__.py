"""The leaderboard: every published method and `auto`, at equal cost, against exact truth."""
