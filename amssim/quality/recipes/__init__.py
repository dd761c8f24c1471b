"""Recipes: what is done to the weights of a layer, one format for all or one per tensor."""
