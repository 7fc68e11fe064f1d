"""What the person on call has: an exporter that uses the service as its users do.

It stands on the client's SDK and on Triton's own calls, and never imports the server.
"""
