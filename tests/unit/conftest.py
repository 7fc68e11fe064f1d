from hypothesis import settings

# Its own, for shared machines: no time limit an example, and the same examples each time.
settings.load_profile("ci")
