"""A hub: what it says about a repository, what of it is in the cache, and getting the rest."""
