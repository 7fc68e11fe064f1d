"""A client's run, as the router sees it: identity, credit, ledger and the way back to the client.

Knows the protocol and no video: nothing here decodes, and nothing knows where the work is done.
"""
