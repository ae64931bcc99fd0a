"""What the outside asks of cx over HTTP: GitHub's deliveries, health, metrics, and the API."""
