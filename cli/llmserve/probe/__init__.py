"""Is an endpoint really OpenAI-compatible? Checks that judge recorded bytes, and the report about them."""
