"""Renders a plan for the systems that run servers: systemd, compose, Kubernetes, Slurm, SkyPilot.

A target is a function from a :class:`~llmserve.deploy.deployment.Deployment` to files. Nothing here plans or starts
anything, and the engine's command is the one that ``up`` would run.
"""
