"""Lab: real engines, registries and images for the tests, each started and ended by who asks."""
