"""What a model folder's `model.py` is: Triton's requests in, Triton's responses out.

Only this package talks to Triton's Python backend, whose module exists inside Triton only.
"""
