"""Dense weights one by one, from words of any kind."""
