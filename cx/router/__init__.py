"""The router: routes that cx writes, probes that go through it, and its certificate."""
