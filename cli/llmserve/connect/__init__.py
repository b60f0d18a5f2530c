"""What other programs need to use an endpoint: one template per client under ``templates/clients``."""
