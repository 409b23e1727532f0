"""Simulation: the real client on a simulated clock, network, disk and service, all decided by one seed. See docs/simulation.md."""
