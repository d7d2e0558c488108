"""cephtasks: an edit in Ceph's source, running on every node of a lab cluster."""
