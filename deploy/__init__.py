"""Beyond one machine: bulk jobs, Ray, containers, Kubernetes."""
