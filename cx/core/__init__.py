"""The values that everything else speaks in, and the only place that spells a name.

names       Namespace, and every label, network, volume, image, database and host name
blueprint   what one revision of a project consists of, after rendering and policy
state       Desired (intent), Observed (facts), Step
"""
