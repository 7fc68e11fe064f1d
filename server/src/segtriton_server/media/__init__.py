"""Compressed packets to pictures. The only place, with `encoders`, that knows a codec library.

Owns timestamps on the way in; must not scale, convert to RGB or draw.
"""
