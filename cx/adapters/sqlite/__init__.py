"""Intent, history, deliveries and what was announced, in one SQLite file. What can be observed is not stored."""

from cx.adapters.sqlite.database import Database
from cx.adapters.sqlite.deliveries import Deliveries, Delivery
from cx.adapters.sqlite.intent import Deployment, StepTaken, Store
from cx.adapters.sqlite.pulls import PullsTable

__all__ = ["Database", "Deliveries", "Delivery", "Deployment", "PullsTable", "StepTaken", "Store"]
