"""The whole agent in simulated time: one seed decides every fault, delay and order of events."""
