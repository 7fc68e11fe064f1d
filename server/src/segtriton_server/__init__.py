"""The server side of segtriton: what the Triton models import."""
