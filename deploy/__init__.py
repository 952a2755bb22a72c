"""Deployments: Ray Serve, containers, Kubernetes, Spaces."""
