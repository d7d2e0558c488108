"""cephtasks: an edit in Ceph's source, running on every node of a lab cluster."""

import sys

# Invoke lets Python keep nothing of what it compiles, which is meant for a tasks.py alone. To compile this
# package at each start takes a fifth of the time that an edit takes to the registry.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
