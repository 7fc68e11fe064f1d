"""`segops`: what a person does with a release on Kubernetes; one command a file, and one that talks to the cluster."""
