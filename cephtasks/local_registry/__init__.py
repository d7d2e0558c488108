"""Local registry: start, look after and stop a registry of this machine's own.

What takes long to load is not loaded here; who needs a module of it imports that.
"""
